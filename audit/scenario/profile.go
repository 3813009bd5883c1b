package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// A profile is what the laboratory takes of a user's configuration: all but who
// the server is and who the user is.
type profile struct {
	kept []string // lines
	// replaced are the names of what the laboratory has its own of.
	replaced []string
}

// settings tell a reader what was tested; nothing of it is a secret.
func (p profile) settings() []string {
	all := slices.Clone(p.kept)
	if len(p.replaced) > 0 {
		all = append(all, "replaced by the laboratory's: "+strings.Join(p.replaced, ", "))
	}
	return all
}

func (p *profile) replace(name string) {
	if !slices.Contains(p.replaced, name) {
		p.replaced = append(p.replaced, name)
	}
}

// openvpnOwn are the options that the laboratory has its own of: the way to the
// server, certificates and keys, names and files of the user's machine, hooks,
// and what both ends must agree on.
var openvpnOwn = strings.Fields(`client tls-client pull dev dev-type dev-node proto proto-force port lport rport local bind nobind remote remote-random
	remote-random-hostname resolv-retry http-proxy http-proxy-option socks-proxy float connection
	ca cert key pkcs12 capath extra-certs crl-verify tls-auth tls-crypt tls-crypt-v2 key-direction secret auth-user-pass askpass auth-retry pkcs11-providers
	pkcs11-id verify-x509-name remote-cert-tls remote-cert-ku remote-cert-eku ns-cert-type peer-fingerprint tls-verify auth-nocache
	up down ipchange route-up route-pre-down up-restart down-pre script-security plugin setenv
	log log-append status daemon writepid syslog verb mute cd chroot config management management-hold management-query-passwords
	cipher data-ciphers data-ciphers-fallback ncp-ciphers auth tls-cipher tls-ciphersuites tls-version-min comp-lzo compress allow-compression fragment mssfix
	tun-mtu link-mtu ping ping-restart ping-exit keepalive connect-retry connect-timeout server-poll-timeout hand-window mark allow-recursive-routing`)

// openvpnProfile reads an .ovpn file.
func openvpnProfile(text string) (p profile, err error) {
	inline := ""
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case inline != "":
			if line == "</"+inline+">" {
				inline = ""
			}
			continue
		case line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";"):
			continue
		case strings.HasPrefix(line, "<"):
			name, found := strings.CutSuffix(line[1:], ">")
			if !found {
				return p, fmt.Errorf("line %d: %q is no option", n+1, line)
			}
			inline = name
			p.replace(name)
			continue
		}
		name := strings.TrimPrefix(strings.Fields(line)[0], "--")
		if slices.Contains(openvpnOwn, name) {
			p.replace(name)
			continue
		}
		p.kept = append(p.kept, line)
	}
	if inline != "" {
		return p, fmt.Errorf("<%s> has no end", inline)
	}
	return p, nil
}

// wireguardOwn is the same of wg-quick's keys.
var wireguardOwn = []string{"privatekey", "publickey", "presharedkey", "endpoint", "address", "listenport", "dns", "saveconfig", "persistentkeepalive"}

// wireguardProfile reads a wg-quick file. Its lines stay in their sections: those
// of the first peer are kept, for the laboratory has one server.
func wireguardProfile(text string) (inInterface, inPeer profile, err error) {
	section, peers := "", 0
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "[") {
			if section = strings.ToLower(line); section == "[peer]" {
				peers++
			}
			continue
		}
		name, _, found := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !found || section != "[interface]" && section != "[peer]" {
			return inInterface, inPeer, fmt.Errorf("line %d: %q belongs nowhere", n+1, line)
		}
		p := &inInterface
		if section == "[peer]" {
			p = &inPeer
			if peers > 1 {
				p.replace("further peers")
				continue
			}
		}
		if slices.Contains(wireguardOwn, strings.ToLower(name)) {
			p.replace(name)
			continue
		}
		p.kept = append(p.kept, line)
	}
	if peers == 0 {
		return inInterface, inPeer, fmt.Errorf("it has no [Peer]")
	}
	return inInterface, inPeer, nil
}
