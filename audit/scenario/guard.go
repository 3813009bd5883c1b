package scenario

import (
	"fmt"
	"os"
	"strings"

	"github.com/vpnguard/vpnguard/lab"
)

// program is the vpnguard that guards, as every node sees it.
func (b *bench) program() string {
	if b.order.Program != "" {
		return b.order.Program
	}
	return lab.SelfExe
}

// hook calls the guard for a client that does not call it itself, with what
// OpenVPN tells its hooks: the names that most guards know.
func (b *bench) hook(event string) error {
	if !b.guarded() {
		return nil
	}
	t := b.client.tunnel()
	if b.order.Guard != "vpnguard" {
		return b.guardCommand(event)
	}
	args := []string{event, "--dev", t.device}
	if event == "up" {
		args = append(args, "--endpoint", t.endpoint.String()+"/"+protocol(t.proto), "--owner", "0", "--profile", "full")
	}
	_, err := b.lab.Client.Run(b.ctx, b.program(), args...)
	return err
}

// guardCommand runs a guard that is a command.
func (b *bench) guardCommand(event string) error {
	cmd := b.lab.Client.Command(b.ctx, "sh", "-c", b.order.Guard)
	cmd.Env = append(os.Environ(), b.environment(event)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run the guard %q for %q: %w: %s", b.order.Guard, event, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// environment has OpenVPN's names.
func (b *bench) environment(event string) []string {
	t := b.client.tunnel()
	env := []string{
		"script_type=" + event, "dev=" + t.device, "dev_type=tun", "script_context=init",
		fmt.Sprintf("trusted_port=%d", t.endpoint.Port()), fmt.Sprintf("remote_port_1=%d", t.endpoint.Port()), "remote_1=" + t.endpoint.Addr().String(),
		"route_net_gateway=192.168.1.1", "signal=sigterm", "PATH=" + os.Getenv("PATH"),
	}
	if t.v4.IsValid() {
		env = append(env, "ifconfig_local="+t.v4.String())
	}
	if t.endpoint.Addr().Is6() {
		return append(env, "trusted_ip6="+t.endpoint.Addr().String())
	}
	return append(env, "trusted_ip="+t.endpoint.Addr().String())
}
