package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vpnguard/vpnguard/rules"
)

const packetGrammar = `write it as: (out|in|forward|frame) IF (udp|tcp) ADDR:PORT or icmp ADDR, then any of: from ADDR:PORT, uid N, mark N, to IF (forward), established, reply`

// parsePacket reads the packet of `rules --explain`. What is not said is the
// ordinary case: a socket of uid 0, addresses that belong to the interface.
func parsePacket(s string) (rules.Packet, error) {
	words := strings.Fields(s)
	next := func() string {
		if len(words) == 0 {
			return ""
		}
		w := words[0]
		words = words[1:]
		return w
	}
	p := rules.Packet{Socket: true, SrcOnOut: true, SrcReachableByIn: true, State: rules.CTNew, HopLimit: 64}
	switch way := next(); way {
	case "out":
		p.Path, p.Out = rules.FromHost, next()
	case "frame":
		p.Path, p.Out, p.Socket = rules.RawFrame, next(), false
	case "in":
		p.Path, p.In, p.DstLocal, p.DstOnIn, p.Socket = rules.ToHost, next(), true, true, false
	case "forward":
		p.Path, p.In, p.Socket = rules.Forwarded, next(), false
	default:
		return p, fmt.Errorf("%q is no way of a packet", way)
	}
	if err := target(&p, next(), next()); err != nil {
		return p, err
	}
	for len(words) > 0 {
		if err := qualify(&p, next(), next); err != nil {
			return p, err
		}
	}
	return p, nil
}

func target(p *rules.Packet, proto, dst string) error {
	switch proto {
	case "udp", "tcp":
		p.Proto = rules.ProtoUDP
		if proto == "tcp" {
			p.Proto = rules.ProtoTCP
		}
		a, err := netip.ParseAddrPort(dst)
		p.Dst, p.DstPort = a.Addr(), a.Port()
		return err
	case "icmp":
		a, err := netip.ParseAddr(dst)
		p.Dst, p.Proto, p.Type = a, rules.ProtoICMP, 8
		if a.Is6() {
			p.Proto, p.Type = rules.ProtoICMPv6, 128
		}
		return err
	}
	return fmt.Errorf("%q is no protocol", proto)
}

func qualify(p *rules.Packet, word string, next func() string) error {
	number := func() (uint32, error) {
		n, err := strconv.ParseUint(next(), 0, 32)
		return uint32(n), err
	}
	var err error
	switch word {
	case "from":
		var a netip.AddrPort
		a, err = netip.ParseAddrPort(next())
		p.Src, p.SrcPort = a.Addr(), a.Port()
	case "uid":
		p.UID, err = number()
		p.Socket = true
	case "mark":
		p.Mark, err = number()
	case "to":
		p.Out = next()
		if p.Out == "" {
			err = errors.New("to which interface?")
		}
	case "established":
		p.State = rules.CTEstablished
	case "reply":
		p.Reply = true
	default:
		err = fmt.Errorf("%q is not understood", word)
	}
	return err
}
