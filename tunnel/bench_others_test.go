package tunnel_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	wgtun "golang.zx2c4.com/wireguard/tun"

	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// runTheirs is one end by wireguard-go, with its own TUN device and sockets.
func runTheirs() error {
	var o endOrder
	if err := order(&o); err != nil {
		return err
	}
	private, err := key.ParsePrivate(o.Private)
	if err != nil {
		return err
	}
	psk, err := key.ParsePreshared(o.Preshared)
	if err != nil {
		return err
	}
	t, err := wgtun.CreateTUN("own0", engine.DefaultMTU)
	if err != nil {
		return err
	}
	d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, "wireguard-go: "))
	defer d.Close()
	secret, shared := private.Bytes(), psk.Bytes()
	lines := []string{"private_key=" + hex.EncodeToString(secret[:]), "listen_port=51820", "public_key=" + hex.EncodeToString(o.Peer[:]), "preshared_key=" + hex.EncodeToString(shared[:])}
	if o.Endpoint.IsValid() {
		lines = append(lines, "endpoint="+o.Endpoint.String())
	}
	for _, a := range o.Allowed {
		lines = append(lines, "allowed_ip="+a.String())
	}
	if err := d.IpcSet(strings.Join(lines, "\n") + "\n"); err != nil {
		return err
	}
	if err := d.Up(); err != nil {
		return err
	}
	addresses := []netip.Prefix{netip.PrefixFrom(o.Address[0], 24), netip.PrefixFrom(o.Address[1], 64)}
	if err := tun.Configure("own0", engine.DefaultMTU, 0, addresses); err != nil {
		return err
	}
	fmt.Println("up")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// ending returns what ends a program of others that was started, once; the end
// of the benchmark does it too.
func (p *place) ending(cmd *exec.Cmd) (stop func()) {
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // by a signal, or with a status of its own
	})
	p.t.Cleanup(stop)
	return stop
}
