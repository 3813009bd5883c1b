package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vpnguard/vpnguard/blocked"
)

// eventText is one line: when, where, what, who, and by which rule.
func eventText(e blocked.Event, reason string) string {
	parts := []string{e.Time.Local().Format("15:04:05.000"), e.Hook}
	switch {
	case e.In != "" && e.Out != "":
		parts = append(parts, e.In+">"+e.Out)
	default:
		parts = append(parts, e.In+e.Out)
	}
	parts = append(parts, e.Protocol())
	if e.Dst.IsValid() {
		parts = append(parts, withPort(e.Src, e.SrcPort), ">", withPort(e.Dst, e.DstPort))
	}
	if e.UID != nil {
		parts = append(parts, fmt.Sprintf("uid %d", *e.UID))
	}
	if e.Program != "" {
		parts = append(parts, fmt.Sprintf("%s[%d]", harmless(e.Program), e.PID))
	}
	line := strings.Join(parts, " ") + ": " + harmless(e.Rule)
	if reason != "" {
		line += ": " + reason
	}
	return line
}

func withPort(a netip.Addr, port uint16) string {
	if port == 0 {
		return a.String()
	}
	return netip.AddrPortFrom(a, port).String()
}

// harmless quotes what a process chose, if a terminal could take it for an
// order or a reader for two words.
func harmless(s string) string {
	for _, r := range s {
		if r <= ' ' || !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
