package openvpn

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/site"
)

// hook writes a script that notes how it was called, and returns the command
// and the notes.
func hook(t *testing.T, l *lab.Lab, exit string) (command string, notes func() string) {
	t.Helper()
	dir := filepath.Join(l.Dir, "hook"+exit)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // for a client that dropped to nobody
		t.Fatal(err)
	}
	file, log := filepath.Join(dir, "hook"), filepath.Join(dir, "notes")
	script := "#!/bin/sh\necho \"$script_type $script_context signal=$signal trusted=$trusted_ip uid=$(/usr/bin/id -u)\" >> " + log + "\n/bin/chmod 666 " + log + " 2>/dev/null\nexit " + exit + "\n"
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return file, func() string {
		text, _ := os.ReadFile(log)
		return string(text)
	}
}

func TestHooksAreCalledAndTheirFailureEndsTheClient(t *testing.T) {
	ctx, l, pki := build(t)
	s := Server{}
	if _, err := s.Start(ctx, l, pki); err != nil {
		t.Fatal(err)
	}
	good, notes := hook(t, l, "0")
	c := Client{Remotes: []netip.AddrPort{s.Endpoint()}, Up: good, Down: good}
	client, err := c.Start(ctx, l, pki)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := client.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if code, err := client.Stop(ctx); err != nil || code != 0 {
		t.Errorf("stop: exit %d, %v", code, err)
	}
	for _, want := range []string{"up init signal= trusted=203.0.113.10 uid=0", "down init signal=sigusr1", "down init signal=sigterm"} {
		if !strings.Contains(notes(), want) {
			t.Errorf("no %q in:\n%s", want, notes())
		}
	}
	bad, _ := hook(t, l, "1")
	c.Up = bad
	if client, err = c.Start(ctx, l, pki); err != nil {
		t.Fatal(err)
	}
	if code, err := client.Wait(ctx); err != nil || code != 1 {
		t.Errorf("after a failed up: exit %d, %v, want 1", code, err)
	}
}

func TestADroppedClientReconnectsAsNobody(t *testing.T) {
	if lab.SingleUID() {
		t.Skip("only root exists: an ordinary user without newuidmap cannot give nobody to openvpn")
	}
	ctx, l, pki := build(t)
	s := Server{}
	if _, err := s.Start(ctx, l, pki); err != nil {
		t.Fatal(err)
	}
	client, err := Client{Remotes: []netip.AddrPort{s.Endpoint()}, User: "nobody", PersistTun: true}.Start(ctx, l, pki)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := client.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 2); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", client.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "Uid:\t65534") {
		t.Errorf("openvpn is not nobody:\n%s", status)
	}
	if err := l.TunnelWorks(ctx, user(), site.Server, site.Server6); err != nil {
		t.Fatal(err)
	}
}

func TestAClientFailsOverToTheSecondServer(t *testing.T) {
	ctx, l, pki := build(t)
	first, second := Server{}, Server{Address: site.ServerTwo, Number: 1}
	one, err := first.Start(ctx, l, pki)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Start(ctx, l, pki); err != nil {
		t.Fatal(err)
	}
	client, err := Client{Remotes: []netip.AddrPort{first.Endpoint(), second.Endpoint()}}.Start(ctx, l, pki)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := one.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := client.WaitUp(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(client.Log(), "203.0.113.11:1194") {
		t.Errorf("not by the second server:\n%s", client.Tail())
	}
	if err := l.TunnelWorks(ctx, user(), site.Server, site.Server6); err != nil {
		t.Fatal(err)
	}
}
