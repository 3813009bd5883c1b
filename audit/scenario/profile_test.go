package scenario

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAProfileLosesWhoTheServerAndTheUserAre(t *testing.T) {
	p, err := openvpnProfile(`# provider
client
dev tun3
remote vpn.example 443 tcp
auth-user-pass /home/u/secret
persist-tun
redirect-gateway def1
up /etc/openvpn/update-resolv-conf
<ca>
-----BEGIN CERTIFICATE-----
persist-remote-ip
</ca>
--block-ipv6
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"persist-tun", "redirect-gateway def1", "--block-ipv6"}, p.kept); diff != "" {
		t.Error(diff)
	}
	text := strings.Join(p.settings(), "\n")
	for _, secret := range []string{"secret", "vpn.example", "CERTIFICATE"} {
		if strings.Contains(text, secret) {
			t.Errorf("the settings tell %q:\n%s", secret, text)
		}
	}
	for _, name := range []string{"remote", "ca", "auth-user-pass", "up"} {
		if !strings.Contains(text, name) {
			t.Errorf("nobody is told that %q was replaced:\n%s", name, text)
		}
	}
}

func TestAWireGuardProfileKeepsWhatIsNoKey(t *testing.T) {
	i, peer, err := wireguardProfile("[Interface]\nPrivateKey = abc=\nAddress=10.1.0.2/32\nTable = off # mine\nPostUp = iptables -A x\n[Peer]\nPublicKey = def=\nEndpoint = 192.0.2.1:5\nAllowedIPs = 10.0.0.0/8\n[Peer]\nPublicKey = ghi=\nAllowedIPs = ::/0\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Table = off", "PostUp = iptables -A x"}, i.kept); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"AllowedIPs = 10.0.0.0/8"}, peer.kept); diff != "" {
		t.Error(diff)
	}
	if text := strings.Join(append(i.settings(), peer.settings()...), "\n"); strings.Contains(text, "abc=") || !strings.Contains(text, "further peers") {
		t.Errorf("settings:\n%s", text)
	}
}

func TestABrokenProfileIsRefused(t *testing.T) {
	for _, text := range []string{"<ca>\nx\n", "<ca\n"} {
		if _, err := openvpnProfile(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	for _, text := range []string{"", "[Interface]\nMTU = 1\n", "MTU = 1\n", "[Peer]\nnonsense\n"} {
		if _, _, err := wireguardProfile(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	for _, o := range []Order{{Client: "own", Profile: []byte("x")}, {Client: "openvpn", Profile: []byte("<ca>")}} {
		if err := o.Check(); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
