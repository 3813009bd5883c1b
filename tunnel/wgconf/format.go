package wgconf

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Format writes a configuration that [Parse] reads as the same one, with its
// keys. A private key that is zero is left out: its owner adds it.
func Format(c Config) []byte {
	var b bytes.Buffer
	i := c.Interface
	b.WriteString("[Interface]\n")
	if !i.PrivateKey.IsZero() {
		put(&b, "PrivateKey", i.PrivateKey.Reveal())
	}
	if i.ListenPort != 0 {
		put(&b, "ListenPort", strconv.Itoa(int(i.ListenPort)))
	}
	if i.FwMark != 0 {
		put(&b, "FwMark", fmt.Sprintf("%#x", i.FwMark))
	}
	if len(i.Addresses) > 0 {
		put(&b, "Address", prefixes(i.Addresses))
	}
	var names []string
	for _, a := range i.DNS {
		names = append(names, a.String())
	}
	if names = append(names, i.Domains...); len(names) > 0 {
		put(&b, "DNS", strings.Join(names, ", "))
	}
	if i.MTU != 0 {
		put(&b, "MTU", strconv.Itoa(i.MTU))
	}
	if i.Table.Off {
		put(&b, "Table", "off")
	} else if i.Table.Number != 0 {
		put(&b, "Table", strconv.FormatUint(uint64(i.Table.Number), 10))
	}
	if i.SaveConfig {
		put(&b, "SaveConfig", "true")
	}
	for _, h := range i.Hooks {
		put(&b, h.When.String(), h.Command)
	}
	for _, p := range c.Peers {
		b.WriteString("\n")
		p.format(&b)
	}
	return b.Bytes()
}

func (p Peer) format(b *bytes.Buffer) {
	b.WriteString("[Peer]\n")
	put(b, "PublicKey", p.PublicKey.String())
	if !p.PresharedKey.IsZero() {
		put(b, "PresharedKey", p.PresharedKey.Reveal())
	}
	if len(p.AllowedIPs) > 0 {
		put(b, "AllowedIPs", prefixes(p.AllowedIPs))
	}
	if p.Endpoint.Port != 0 {
		put(b, "Endpoint", strings.TrimSuffix(p.Endpoint.String(), "/udp"))
	}
	if p.Keepalive != 0 {
		put(b, "PersistentKeepalive", strconv.Itoa(int(p.Keepalive/time.Second)))
	}
}

func put(b *bytes.Buffer, name, value string) { fmt.Fprintf(b, "%s = %s\n", name, value) }

func prefixes(list []netip.Prefix) string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}
