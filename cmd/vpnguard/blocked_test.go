package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/blocked"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/rules"
)

func TestEventIsOneHarmlessLine(t *testing.T) {
	uid := uint32(1000)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.Local)
	dst := netip.MustParseAddr("2001:db8::1")
	src := netip.MustParseAddr("2001:db8::2")
	for want, e := range map[string]blocked.Event{
		"03:04:05.006 output eth0 udp [2001:db8::2]:5 > [2001:db8::1]:53 uid 1000 /usr/bin/dig[7]: out-dns-udp: why": {
			Time: at, Rule: "out-dns-udp", Hook: "output", Out: "eth0", EtherType: 0x86dd, Proto: 17, Src: src, SrcPort: 5, Dst: dst, DstPort: 53, UID: &uid, PID: 7, Program: "/usr/bin/dig"},
		"03:04:05.006 forward guest0>eth0 icmpv6 2001:db8::2 > 2001:db8::1: fwd-end: why": {
			Time: at, Rule: "fwd-end", Hook: "forward", In: "guest0", Out: "eth0", EtherType: 0x86dd, Proto: 58, Src: src, Dst: dst},
		"03:04:05.006 egress eth0 ether 0x88b5 uid 1000: fence-end: why": {
			Time: at, Rule: "fence-end", Hook: "egress", Out: "eth0", EtherType: 0x88b5, UID: &uid},
		`03:04:05.006 output eth0 udp 2001:db8::2 > 2001:db8::1 uid 1000 "/tmp/\x1b[2J\n x"[7]: out-end: why`: {
			Time: at, Rule: "out-end", Hook: "output", Out: "eth0", EtherType: 0x86dd, Proto: 17, Src: src, Dst: dst, UID: &uid, PID: 7, Program: "/tmp/\x1b[2J\n x"},
	} {
		if got := eventText(e, "why"); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestBlockingJoinsRulesWithTheirCounters(t *testing.T) {
	rs, err := rules.Build(rules.Policy{Wires: []rules.Wire{{Name: "eth0", Index: 2}, {Name: "wlan0", Index: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	end := rules.Rule{ID: "fence-end", Why: "nothing else leaves by a wire"}
	got := blocking(rs, []guard.Counter{
		{Chain: "fence_3", Rule: end.Comment(), Packets: 7, Bytes: 70},
		{Chain: "fence_3", Rule: "fence-arp: without ARP no carrier", Packets: 9}, // lets packets through
		{Chain: "elsewhere", Rule: end.Comment(), Packets: 9},
	})
	fences := map[string]uint64{}
	for _, r := range got {
		if r.Device != "" {
			fences[r.Device] += r.Packets
		} else if r.Packets != 0 {
			t.Errorf("%+v", r)
		}
	}
	if diff := cmp.Diff(map[string]uint64{"eth0": 0, "wlan0": 7}, fences); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	var out bytes.Buffer
	w := world{stdout: &out, stderr: &out}
	if err := w.blockedText(got); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 3 || lines[1] != "7        egress wlan0  fence-end  nothing else leaves by a wire" {
		t.Errorf("table:\n%s", out.String())
	}
}

// What listens reads the prefix that the rules log.
func TestListenerAndRulesAgreeOnThePrefix(t *testing.T) {
	if got, want := (rules.Rule{ID: "x"}).LogPrefix(), blocked.Prefix+"x"; got != want {
		t.Errorf("rules log %q, the listener reads %q", got, want)
	}
}
