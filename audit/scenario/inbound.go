package scenario

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// inbound is what the LAN sends to the client.
func inbound() []*scenario {
	lan4 := []string{"attack-syn-lan", "attack-synack-lan", "attack-udp-lan", "attack-echo-lan", "attack-timestamp-lan"}
	lan6 := []string{"attack-syn-lan", "attack-synack-lan", "attack-udp-lan", "attack-echo-lan"}
	spoofed := []string{"attack-syn-spoofed", "attack-synack-spoofed", "attack-udp-spoofed", "attack-echo-spoofed"}
	return []*scenario{
		{id: "weak-host-v4", title: "the LAN probes the tunnel's IPv4 address", rule: "pre-strong-host", harm: evidence.Exposes, run: func(t *trial) error {
			return t.attacks(t.client.tunnel().v4, lan4...)
		}},
		{id: "weak-host-v6", title: "the LAN probes the tunnel's IPv6 address", rule: "pre-strong-host", harm: evidence.Exposes, run: func(t *trial) error {
			return t.attacks(t.client.tunnel().v6, lan6...)
		}},
		{id: "inject-oracle", title: "packets with an internet source to the tunnel's addresses draw answers in it", rule: "pre-reverse-path", harm: evidence.Exposes, run: func(t *trial) error {
			x := t.client.tunnel()
			if err := t.oracles(x.v4, spoofed...); err != nil || !x.v6.IsValid() {
				return err
			}
			return t.oracles(x.v6, spoofed...)
		}},
		{id: "asymmetric-reply", title: "a probe from the internet at the host's own address is answered by the tunnel", rule: "pre-reverse-path", harm: evidence.Exposes, run: func(t *trial) error {
			return t.oracles(site.Client, "attack-syn-spoofed", "attack-udp-spoofed", "attack-echo-spoofed")
		}},
		{id: "arp-tunnel-ip", title: "the LAN asks ARP for the tunnel's address", rule: "arp_ignore", harm: evidence.Exposes, run: func(t *trial) error {
			return t.mentioned(t.client.tunnel().v4, "attack-arp")
		}},
		{id: "arp-sender-tunnel-ip", title: "a neighbour that the host has to ask for probes the tunnel's address", rule: "arp_announce", harm: evidence.Exposes, run: func(t *trial) error {
			return t.mentioned(t.client.tunnel().v4, "stranger")
		}},
		{id: "clock-fingerprint", title: "the LAN asks for the host's clock by ICMP", rule: "in-end", harm: evidence.Exposes, run: func(t *trial) error {
			return t.attack("attack-timestamp-lan", site.Client, evidence.Signs{Flows: []evidence.Flow{{To: site.Gateway, Proto: 1}}}, false)
		}},
		{id: "inbound-lan-services", title: "the LAN connects to the host's own address", rule: "in-end", harm: evidence.Exposes, run: func(t *trial) error {
			return t.attack("attack-syn-lan", site.Client, evidence.Signs{}, false)
		}},
		{id: "pmtu-manipulation", title: "the router says that the carrier's packets are too long", rule: "the client", harm: evidence.Exposes, run: tooLong},
		{id: "icmp-redirect", title: "the router redirects the carrier to a neighbour", rule: "accept_redirects", harm: evidence.Exposes, run: redirect},
	}
}

// attacks are told apart by their answers. ICMP timestamps, which have nothing of
// their own, come last.
func (t *trial) attacks(target netip.Addr, names ...string) error {
	for _, n := range names {
		signs := evidence.Signs{}
		if n == "attack-timestamp-lan" {
			signs.Flows = []evidence.Flow{{To: site.Gateway, Proto: 1}}
		}
		if err := t.attack(n, target, signs, false); err != nil {
			return err
		}
	}
	return nil
}

// mentioned is an attack whose sign is any mention of the target on the wire.
func (t *trial) mentioned(target netip.Addr, name string) error {
	return t.attack(name, target, evidence.Signs{Mentions: []netip.Addr{target}}, false)
}

// oracles are attacks whose answers go into the tunnel, where they are counted.
func (t *trial) oracles(target netip.Addr, names ...string) error {
	for _, n := range names {
		err := t.reading("carriers after "+n+" at "+target.String(), evidence.Exposes, func() error {
			return t.attack(n, target, evidence.Signs{}, true)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// redirect tells the client twice of a router that is not there: the first
// message only makes the kernel ask for it.
func redirect(t *trial) error {
	quote := t.lastCarrier()
	if quote == nil {
		if err := t.alive(); err != nil {
			return err
		}
		t.recorded.canary(evidence.Between)
		quote = t.lastCarrier()
	}
	router := probe.FalseRouter
	if err := t.forge("redirect", quote, evidence.Signs{Mentions: []netip.Addr{router}}, router.AsSlice()); err != nil {
		return err
	}
	t.later(func() error {
		// What the kernel believed is forgotten.
		return t.lab.Client.Script(t.ctx, "ip route flush cache\nip neigh flush dev eth0\n")
	})
	time.Sleep(20 * time.Millisecond)
	return nil
}

// tooLong forges the error and looks whether the carrier is cut for it.
func tooLong(t *trial) error {
	long := func(as string) (int64, error) {
		return t.carriersFor(func() error { return t.probe("udp-long", probed{as: as, silent: true}) })
	}
	quiet, err := long("a long datagram before")
	if err != nil {
		return err
	}
	if err := t.forge("frag-needed", t.lastCarrier(), evidence.Signs{}, binary.BigEndian.AppendUint16(nil, probe.ForgedMTU)); err != nil {
		return err
	}
	n, err := long("a long datagram after")
	if err != nil {
		return err
	}
	if t.phase == evidence.Control && n == quiet {
		t.excused = fmt.Sprintf("the client does not believe it: %d carriers for a long datagram before and after, with the guard off", n)
	}
	t.run.Oracles = append(t.run.Oracles, evidence.Reading{What: "carriers for a long datagram after a forged error", Quiet: quiet, Probed: n, Harm: evidence.Exposes})
	return nil
}
