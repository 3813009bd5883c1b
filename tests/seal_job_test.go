package tests

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab"
)

// envJob makes a copy of the test program do a small job in a node instead.
const envJob = "VPNGUARD_TEST_JOB"

func init() {
	job := os.Getenv(envJob)
	if job == "" {
		return
	}
	args := strings.Fields(job)
	if err := jobs[args[0]](args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var jobs = map[string]func([]string) error{"serve": serveJob, "ask": askJob, "frames": framesJob, "datagram": datagramJob, "deaf": deafJob, "far": farJob, "hold": holdJob, "many": manyJob, "lossy": lossyJob,
	"probes": probesJob, "resolvers": resolversJob, "look-up": lookUpJob, "shadow": shadowJob, "brief": briefJob, "relayed": relayedJob}

// job runs a job in a node as root and returns what it said. One that goes on
// ends with the scene, and has said that it is ready.
func (s *scene) job(node *lab.Node, args ...string) string {
	s.Helper()
	return s.jobWith(node, "", args...)
}

func (s *scene) jobWith(node *lab.Node, input string, args ...string) string {
	s.Helper()
	cmd := node.Command(s.ctx, lab.SelfExe)
	cmd.Env = append(os.Environ(), envJob+"="+strings.Join(args, " "))
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.Fatalf("job %q in %q: %v, %v", args, node.Name, err, cmd.Wait())
	}
	if line == ready {
		s.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	} else if err := cmd.Wait(); err != nil {
		s.Fatalf("job %q in %q: %v", args, node.Name, err)
	}
	return strings.TrimSpace(line)
}

const ready = "ready\n"

// serveJob answers on a port by UDP and TCP, both families, with what it gets.
func serveJob(args []string) error {
	at := net.JoinHostPort("", args[0])
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	go func() {
		for {
			if conn, err := tcp.Accept(); err == nil {
				go func() { _, _ = io.Copy(conn, conn) }()
			}
		}
	}()
	fmt.Print(ready)
	buf := make([]byte, 2048)
	for {
		if n, from, err := udp.ReadFrom(buf); err == nil {
			_, _ = udp.WriteTo(buf[:n], from)
		}
	}
}

// deafJob hears on a port by UDP, both families, and reads nothing.
func deafJob(args []string) error {
	conn, err := net.ListenPacket("udp", net.JoinHostPort("", args[0]))
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Print(ready)
	time.Sleep(time.Hour) // its end is the scene's
	return nil
}

// askJob sends a line from one address to another's port, and says who
// answered. No answer is none within a second.
func askJob(args []string) error {
	network, from, to := args[0], net.ParseIP(args[1]), net.JoinHostPort(args[2], args[3])
	const patience = time.Second
	if network == "tcp" {
		d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: from}}
		conn, err := d.Dial(network, to)
		if err == nil {
			defer conn.Close()
		}
		fmt.Printf("connected: %v\n", err)
		return nil
	}
	conn, err := net.ListenUDP(network, &net.UDPAddr{IP: from})
	if err != nil {
		return err
	}
	addr, err := net.ResolveUDPAddr(network, to)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo([]byte("vpnguard\n"), addr); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	_, who, err := conn.ReadFrom(make([]byte, 2048))
	fmt.Printf("answered by %v: %v\n", who, err)
	return nil
}

// framesJob sends whole frames by a device, one in hexadecimal a line, and says
// for each in one word how the kernel answered.
func framesJob(args []string) error {
	link, err := net.InterfaceByName(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var said []string
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		frame, err := hex.DecodeString(lines.Text())
		if err != nil {
			return err
		}
		to := &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6}
		// The kernel takes the type in network order, and the firewall reads it there.
		to.Protocol = uint16(frame[12]) | uint16(frame[13])<<8
		copy(to.Addr[:], frame[:6])
		err = unix.Sendto(fd, frame, 0, to)
		switch {
		case err == nil:
			said = append(said, "sent")
		case errors.Is(err, unix.ENOBUFS):
			said = append(said, "dropped")
		default:
			return err
		}
	}
	fmt.Println(strings.Join(said, " "))
	return lines.Err()
}

// datagramJob sends one datagram by a socket bound to a device and a port, and
// says in one word how the kernel answered. The payload is in hexadecimal.
func datagramJob(args []string) error {
	dev, from, to := args[0], args[1], args[2]
	payload, err := hex.DecodeString(args[3])
	if err != nil {
		return err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		refused := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), dev) })
		return errors.Join(err, refused)
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp4", ":"+from)
	if err != nil {
		return err
	}
	addr, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return err
	}
	_, err = conn.WriteTo(payload, addr)
	switch {
	case err == nil:
		fmt.Println("sent")
	case errors.Is(err, unix.EPERM):
		fmt.Println("dropped")
	default:
		return err
	}
	return nil
}
