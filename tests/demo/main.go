// Command demo shows in a laboratory of network namespaces what a VPN leaks
// without vpnguard and that nothing leaks with it. A real OpenVPN client and
// server run; a capture at the far end of the client's cable counts.
//
// It needs one argument, the path of the vpnguard program, changes nothing
// outside its own namespaces, and exits 0 only if everything leaked before
// and nothing after.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

func main() { os.Exit(lab.Run(run)) }

func run() int {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo PATH-OF-VPNGUARD")
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if err := show(ctx, os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

// shown are the leaks of the demonstration, each with what it stands for.
var shown = []struct{ probe, what string }{
	{"dns-udp-lan", "name looked up at the LAN's resolver"},
	{"udp-server", "any program to the VPN server's address (Port Fail)"},
	{"bind-device-udp", "program bound to the wire"},
	{"pktinfo", "program that names the wire per packet (IP_PKTINFO)"},
	{"bind-device-udp-v6", "IPv6 bound to the wire"},
	{"mdns", "name looked up by multicast"},
	{"raw-ip", "raw IP socket"},
	{"packet-ipv4-bypass", "packet socket past every inet hook"},
}

var errUnexpected = errors.New("the outcome is not the expected one")

// show runs the laboratory twice: without and with the hooks.
func show(ctx context.Context, w io.Writer, guard string) error {
	fmt.Fprintln(w, "A laptop, its LAN's router, the internet and a VPN server, in network namespaces.")
	fmt.Fprintln(w, "Every number is what the router saw on the laptop's cable.")
	before, err := round(ctx, "")
	if err != nil {
		return fmt.Errorf("without vpnguard: %w", err)
	}
	after, err := round(ctx, guard)
	if err != nil {
		return fmt.Errorf("with vpnguard: %w", err)
	}
	fmt.Fprintln(w, "\nleaked frames                                           OpenVPN alone  with vpnguard")
	t := tabwriter.NewWriter(w, 56, 0, 1, ' ', 0)
	good := true
	for i, s := range shown {
		fmt.Fprintf(t, "%s\t%-14d %d\n", s.what, before.leaks[i], after.leaks[i])
		good = good && before.leaks[i] > 0 && after.leaks[i] == 0
	}
	fmt.Fprintf(t, "of a stream while the client is killed (SIGKILL)\t%-14d %d\n", before.killed, after.killed)
	if err := t.Flush(); err != nil {
		return err
	}
	good = good && before.killed > 0 && after.killed == 0
	fmt.Fprintf(w, "\nThe tunnel carried 2 x 20 MiB, hashes equal, in both rounds. After `vpnguard recover` the host was as before: %t\n", after.restored)
	if !good || !after.restored {
		return errUnexpected
	}
	return nil
}

type outcome struct {
	leaks    []int
	killed   int
	restored bool
}

// round is one life of a client; guard is empty or wired to its hooks.
func round(ctx context.Context, guard string) (o outcome, err error) {
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		return o, err
	}
	defer l.Close()
	snapshot, err := l.Client.Snapshot(ctx)
	if err != nil {
		return o, err
	}
	pki, err := openvpn.NewPKI(filepath.Join(l.Dir, "pki"))
	if err != nil {
		return o, err
	}
	srv := openvpn.Server{}
	if _, err := srv.Start(ctx, l, pki); err != nil {
		return o, err
	}
	c := openvpn.Client{Remotes: []netip.AddrPort{srv.Endpoint()}}
	if guard != "" {
		c.Up, c.Down = guard+" up", guard+" down"
	}
	client, err := c.Start(ctx, l, pki)
	if err != nil {
		return o, err
	}
	if err := client.WaitUp(ctx, 1); err != nil {
		return o, err
	}
	if err := l.TunnelWorks(ctx, user(), site.Server, site.Server6); err != nil {
		return o, err
	}
	policy := l.Policy(wire.Carrier{Remote: srv.Endpoint(), Proto: wire.UDP})
	for _, s := range shown {
		n, err := leaked(ctx, l, policy, s.probe)
		if err != nil {
			return o, err
		}
		o.leaks = append(o.leaks, n)
	}
	if o.killed, err = kill(ctx, l, policy, client); err != nil || guard == "" {
		return o, err
	}
	if _, err := l.Client.Run(ctx, guard, "recover"); err != nil {
		return o, err
	}
	// The killed client left its route to the server behind; that is not ours.
	if _, err := l.Client.Run(ctx, "ip", "route", "del", srv.Endpoint().Addr().String()); err != nil {
		return o, err
	}
	again, err := l.Client.Snapshot(ctx)
	o.restored = err == nil && snapshot.Diff(again) == ""
	return o, err
}

// leaked sends one probe and counts the frames that the policy does not explain.
func leaked(ctx context.Context, l *lab.Lab, policy wire.Policy, name string) (int, error) {
	p, err := probe.Find(name)
	if err != nil {
		return 0, err
	}
	uid := user()
	if p.Privileged {
		uid = 0
	}
	a, err := l.Try(ctx, l.Client, uid, probe.Order{Name: name})
	return len(a.Judge(policy).Leaks), err
}

// kill ends the client as a crash does, under a stream of packets.
func kill(ctx context.Context, l *lab.Lab, policy wire.Policy, client *openvpn.Process) (int, error) {
	stream, err := l.Stream(ctx, l.Client, user(), probe.Stream{To: netip.AddrPortFrom(site.Public, probe.EchoPort), Rate: 1000})
	if err != nil {
		return 0, err
	}
	mark, err := l.Capture().Mark(ctx)
	if err != nil {
		return 0, err
	}
	if err := client.Signal(syscall.SIGKILL); err != nil {
		return 0, err
	}
	if _, err := client.Wait(ctx); err != nil {
		return 0, err
	}
	// Long enough for hundreds of packets; the count, not the time, is judged.
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if _, err := stream.Stop(); err != nil {
		return 0, err
	}
	if err := l.Capture().Sync(ctx); err != nil {
		return 0, err
	}
	return len(policy.Judge(l.Capture().Since(mark)).Leaks), nil
}

// user is an ordinary uid, if the laboratory has one.
func user() int {
	if lab.SingleUID() {
		return 0
	}
	return 1000
}
