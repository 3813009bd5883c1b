package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// Machine is a computer that can be switched on. Its disk outlives that.
type Machine struct {
	Image Image
	Dir   string // for its disk, sockets and consoles; short: sockets have short names
	Far   bool   // it has a second card, far0, for servers of its own; see [Gateway]
	// Limit is the longest that it may be on; 0: bootLimit.
	Limit time.Duration
	boots int
}

// bootLimit is the longest that a machine may be on, on a busy computer. It is killed then.
const bootLimit = 10 * time.Minute

// Guest is a machine that is on.
type Guest struct {
	Gateway *Gateway
	agent   *agent
	console string
	cable   net.Conn
	far     net.Conn // nil without a second card
	qemu    *exec.Cmd
	ended   chan struct{} // closed when qemu has ended
	killed  atomic.Bool
	most    time.Duration
	limit   *time.Timer
}

// Boot switches the machine on, with more words for the kernel's command line,
// and waits until its agent answers. The caller calls Kill, always.
func (m *Machine) Boot(ctx context.Context, words string) (*Guest, error) {
	m.boots++
	name := func(what string) string { return filepath.Join(m.Dir, fmt.Sprintf("%s%d", what, m.boots)) }
	cables, err := net.Listen("unix", name("cable"))
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	defer cables.Close()
	agents, err := net.Listen("unix", name("agent"))
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	defer agents.Close()
	var fars net.Listener
	var second []string
	if m.Far {
		if fars, err = net.Listen("unix", name("far")); err != nil {
			return nil, fmt.Errorf("boot: %w", err)
		}
		defer fars.Close()
		second = []string{
			"-netdev", "stream,id=far,server=off,addr.type=unix,addr.path=" + name("far"),
			"-device", "virtio-net-pci,netdev=far,romfile=,mac=" + GatewayMAC.String(),
		}
	}
	g := &Guest{console: name("console"), ended: make(chan struct{})}
	g.qemu = exec.Command("qemu-system-x86_64", append([]string{
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", m.Image.Kernel, "-initrd", m.Image.Initrd,
		"-append", "root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off systemd.show_status=1 systemd.mask=e2scrub_reap.service " + words,
		"-drive", "file=" + filepath.Join(m.Dir, "disk") + ",format=raw,if=virtio,cache=unsafe",
		"-serial", "file:" + g.console,
		"-netdev", "stream,id=cable,server=off,addr.type=unix,addr.path=" + name("cable"),
		"-device", "virtio-net-pci,netdev=cable,romfile=,mac=" + GuestMAC.String(),
		"-chardev", "socket,id=agent,path=" + name("agent"),
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=guest",
	}, second...)...)
	log, err := os.Create(name("qemu"))
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	defer log.Close()
	g.qemu.Stdout, g.qemu.Stderr = log, log
	// A test that dies leaves no machine behind.
	g.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.qemu.Start(); err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	g.most = cmp.Or(m.Limit, bootLimit)
	g.limit = time.AfterFunc(g.most, g.Kill)
	go func() {
		_ = g.qemu.Wait()
		close(g.ended)
		_ = cables.Close() // nobody will come any more
		_ = agents.Close()
		if fars != nil {
			_ = fars.Close()
		}
	}()
	if err := g.connect(ctx, cables, fars, agents); err != nil {
		g.Kill()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("boot: %w\n%s\n%s", err, text, g.consoleTail())
	}
	return g, nil
}

// connect waits for what qemu connects to; fars may be nil.
func (g *Guest) connect(ctx context.Context, cables, fars, agents net.Listener) error {
	stop := context.AfterFunc(ctx, g.Kill)
	defer stop()
	var err error
	if g.cable, err = cables.Accept(); err != nil {
		return err
	}
	var far io.ReadWriter
	if fars != nil {
		if g.far, err = fars.Accept(); err != nil {
			return err
		}
		far = g.far
	}
	g.Gateway = NewGateway(g.cable, far)
	port, err := agents.Accept()
	if err != nil {
		return err
	}
	g.agent, err = newAgent(port)
	return err
}

// Kill ends the machine without a word to it.
func (g *Guest) Kill() {
	select {
	case <-g.ended:
		return
	default:
	}
	g.killed.Store(true)
	_ = g.qemu.Process.Kill()
	<-g.ended
	g.limit.Stop()
}

// Off waits until the machine has switched itself off, or restarts.
func (g *Guest) Off() error {
	<-g.ended
	g.limit.Stop()
	if g.killed.Load() {
		return fmt.Errorf("the guest was still on after %s\n%s", g.most, g.consoleTail())
	}
	if !g.qemu.ProcessState.Success() {
		return errors.New("qemu: " + g.qemu.ProcessState.String())
	}
	return g.Gateway.Close()
}

// Console is what the machine wrote on its screen.
func (g *Guest) Console() string {
	text, err := os.ReadFile(g.console)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (g *Guest) consoleTail() []byte { return tail([]byte(g.Console())) }
