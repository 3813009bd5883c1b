package tests

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/lab/site"
)

// What a test does to the client's world.

// carries demands that the tunnel works. Without the hooks it is no more than
// a start, and on a busy machine a first try may get lost.
func (l *life) carries() {
	l.Helper()
	if l.guarded {
		l.try(l.lab.TunnelWorks(l.ctx, l.user, site.Server, site.Server6))
		return
	}
	for {
		ctx, cancel := context.WithTimeout(l.ctx, 5*time.Second)
		err := l.lab.TunnelWorks(ctx, l.user, site.Server, site.Server6)
		cancel()
		if err == nil {
			return
		}
		l.Logf("again, for the tunnel did not work: %v\n%s", err, l.servers[0].Log())
		l.pause("the tunnel works")
	}
}

// severed drops everything between the client's LAN and the internet, both ways.
const severed = `
nft -f - <<END
table inet severed {
	chain forward {
		type filter hook forward priority -10
		drop
	}
}
END
`

func (l *life) sever() {
	l.Helper()
	l.try(l.lab.Gateway.Script(l.ctx, severed))
}

func (l *life) mend() {
	l.Helper()
	l.try(l.lab.Gateway.Script(l.ctx, "nft delete table inet severed\n"))
}

func (l *life) signal(sig syscall.Signal) {
	l.Helper()
	l.try(l.client.Signal(sig))
}

// said waits until the client's log has the text.
func (l *life) said(text string) {
	l.Helper()
	l.try(l.client.WaitLog(l.ctx, text, 1))
}

// killServer ends a server so that it tells its clients nothing.
func (l *life) killServer(i int) {
	l.Helper()
	l.try(l.servers[i].Signal(syscall.SIGKILL))
	_, err := l.servers[i].Wait(l.ctx)
	l.try(err)
}

func (l *life) reviveServer(i int) {
	l.Helper()
	l.servers[i] = l.serve(l.listen()[i])
}

// ended waits for the client's end and demands its exit status.
func (l *life) ended(want int) {
	l.Helper()
	code, err := l.client.Wait(l.ctx)
	l.try(err)
	if code != want {
		l.Errorf("openvpn: exit %d, want %d\n%s", code, want, l.client.Log())
	}
}

// stops ends the client cleanly and demands the host as it was.
func (l *life) stops() {
	l.Helper()
	code, err := l.client.Stop(l.ctx)
	l.try(err)
	if code != 0 {
		l.Errorf("openvpn: exit %d\n%s", code, l.client.Log())
	}
	l.opened()
}

// opened demands an open host, as it was before the client.
func (l *life) opened() {
	l.Helper()
	l.is("open")
	l.restored(l.before)
}

// tidy removes the host route that a killed OpenVPN leaves behind, which is
// nothing of ours.
func (l *life) tidy() {
	l.Helper()
	l.try(l.lab.Client.Script(l.ctx, "ip route del 203.0.113.10/32 via 192.168.1.1 dev eth0\n"))
}

// write makes a file in the client's node.
func (l *life) write(path, text string, mode fs.FileMode) {
	l.Helper()
	full := l.lab.Client.Path(path)
	l.try(os.MkdirAll(full[:strings.LastIndexByte(full, '/')], 0o755))
	l.try(os.WriteFile(full, []byte(text), mode))
}

// names lets the client's host file know the VPN server by name.
func (l *life) names(lines ...string) {
	l.Helper()
	l.write("/etc/hosts", "127.0.0.1 localhost\n"+strings.Join(lines, "\n")+"\n", 0o644)
}

// A holder keeps the lock of the state, so that hooks have to wait.
type holder struct {
	l *life
	f *os.File
}

// hold takes the lock that every change of the state needs.
func (l *life) hold() *holder {
	l.Helper()
	dir := l.lab.Client.Path("/run/vpnguard")
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		l.Fatal(err)
	}
	f, err := os.OpenFile(dir+"/lock", os.O_RDWR|os.O_CREATE, 0o600)
	l.try(err)
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		l.pause("the lock is free")
	}
	l.try(err)
	return &holder{l, f}
}

func (h *holder) release() {
	h.l.Helper()
	h.l.try(h.f.Close())
}

// hook waits for the vpnguard that the client runs and returns its process id.
// That it has a socket tells that it is past its start.
func (l *life) hook() int {
	l.Helper()
	for {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", l.client.PID(), l.client.PID()))
		for _, pid := range strings.Fields(string(text)) {
			comm, _ := os.ReadFile("/proc/" + pid + "/comm")
			sockets, _ := exec.CommandContext(l.ctx, "find", "/proc/"+pid+"/fd", "-lname", "socket:*").Output()
			if string(comm) == "vpnguard\n" && len(sockets) > 0 {
				n := 0
				_, err := fmt.Sscan(pid, &n)
				l.try(err)
				return n
			}
		}
		l.pause("the client runs its hook")
	}
}

// pause waits a moment for what is named.
func (l *life) pause(what string) {
	l.Helper()
	select {
	case <-l.ctx.Done():
		l.Fatalf("wait until %s: %v\n%s", what, l.ctx.Err(), l.client.Log())
	case <-time.After(10 * time.Millisecond):
	}
}
