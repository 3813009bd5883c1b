package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/uapi"
)

// tunnelRoot is a directory that stands for /; short, for sockets' names are.
func tunnelRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "vg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return root
}

// tunnelIn runs `vpnguard tunnel` below a root.
func tunnelIn(root, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, wrong bytes.Buffer
	code = run(context.Background(), world{args: append([]string{"tunnel"}, args...), stdin: strings.NewReader(stdin), stdout: &out, stderr: &wrong, root: root})
	return code, out.String(), wrong.String()
}

// fakeDevice is an engine without a network behind a real socket.
type fakeDevice struct {
	*engine.Engine
	refuse error
}

func (d *fakeDevice) Export() (tunnel.Export, error) {
	return tunnel.Export{Status: tunnel.Status{Public: d.Public(), ListenPort: 51820, FwMark: 0xca6c, Peers: d.Peers()}, Private: d.Private(), Preshared: d.Preshared()}, nil
}

func (d *fakeDevice) Apply(c tunnel.Change) error {
	if d.refuse != nil {
		return d.refuse
	}
	return d.Engine.Apply(time.Hour, c.Change)
}

// device runs a tunnel's socket below a root.
func device(t *testing.T, root, name string, private key.Private) *fakeDevice {
	t.Helper()
	e, err := engine.New(engine.Config{Private: private, Send: func(engine.Way, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	d := &fakeDevice{Engine: e}
	if err := os.MkdirAll(root+sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", root+sockets+"/"+name+".sock")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := &uapi.Server{Device: d, Permit: uapi.Any, Admit: func(net.Conn) error { return nil }}
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return d
}

func newPrivate(t *testing.T) (key.Private, key.Public) {
	t.Helper()
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}
