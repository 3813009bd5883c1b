package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

const whole = `
profile = "a hostile LAN"
required = ["dhcp-opt121", "client-crash"]
threshold = "medium"
min_controls = 0.9
oracles_fail = true
ratchet = true

[[flow]]
name = "printer"
reason = "people print"
to = "192.168.1.9"
proto = "tcp"
port = 631

[[window]]
id = "reconnect-window"
variant = "sigusr1"
frames = 3
reason = "the client has no persist-tun"

[[waiver]]
id = "l2-chatter"
reason = "the switch wants LLDP"
owner = "net team"
expires = 2030-01-31
evidence = "abc"
`

func TestParseReadsAWholePolicy(t *testing.T) {
	got, err := Parse("p.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := Policy{
		Profile: "a hostile LAN", Required: []string{"dhcp-opt121", "client-crash"}, Threshold: evidence.Medium, MinControls: 0.9, OraclesFail: true, Ratchet: true,
		Flows:   []Flow{{Name: "printer", Reason: "people print", To: netip.MustParsePrefix("192.168.1.9/32"), Proto: 6, Port: 631}},
		Windows: []Window{{ID: "reconnect-window", Variant: "sigusr1", Reason: "the client has no persist-tun", Frames: 3}},
		Waivers: []Waiver{{ID: "l2-chatter", Reason: "the switch wants LLDP", Owner: "net team", Expires: time.Date(2030, 2, 1, 0, 0, 0, 0, time.UTC), Evidence: "abc"}},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Error(d)
	}
	if p, err := Parse("p.toml", nil); err != nil || !p.Counts(evidence.Info) || p.OraclesFail || len(p.Waivers) > 0 {
		t.Errorf("an empty file is %+v, %v", p, err)
	}
}

func TestParseRefusesWhatItDoesNotKnowOrWhatHasNoReason(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"requird = []", `p.toml: unknown key "requird"`},
		{"[[waiver]]\nid='x'\nreason='y'\nowner='z'\nexpires=2030-01-01\nforever=true", `unknown key "waiver.forever"`},
		{"threshold = 'severe'", `threshold: "severe" is none of`},
		{"min_controls = 0.0", "min_controls: 0 is not above 0"},
		{"min_controls = nan", "min_controls: NaN"},
		{"min_controls = 1.1", "min_controls: 1.1"},
		{"[[flow]]\nname='x'\nto='192.168.1.9'", `flow 1 ("x"): reason is missing`},
		{"[[flow]]\nreason='x'\nto='192.168.1.9'", `name is missing`},
		{"[[flow]]\nname='x'\nreason='y'\nto='0.0.0.0/0'", "is everything"},
		{"[[flow]]\nname='x'\nreason='y'\nto='192.168.1.9/24'", `"192.168.1.0/24" is meant`},
		{"[[flow]]\nname='x'\nreason='y'\nto='printer'", "no address or prefix"},
		{"[[flow]]\nname='x'\nreason='y'\nto='192.168.1.9'\nproto='sctp'", "none of icmp"},
		{"[[flow]]\nname='x'\nreason='y'\nto='192.168.1.9'\nport=80", "no port of"},
		{"[[flow]]\nname='x'\nreason='y'\nto='192.168.1.9'\nproto='udp'\nport=65536", "no port of"},
		{"[[window]]\nid='x'\nreason='y'", "permits nothing"},
		{"[[window]]\nid='x'\nframes=1", "reason is missing"},
		{"[[waiver]]\nid='x'\nreason=' '\nowner='z'\nexpires=2030-01-01", "reason is missing"},
		{"[[waiver]]\nid='x'\nreason='y'\nexpires=2030-01-01", "owner is missing"},
		{"[[waiver]]\nid='x'\nreason='y'\nowner='z'", "expires is missing"},
		{"[[waiver]]\nid='x'\nreason='y'\nowner='z'\nexpires='never'", "p.toml:"},
		{"required = [", "p.toml:1: "},
		{strings.Repeat("#", maxSize+1), "larger than"},
	} {
		if _, err := Parse("p.toml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestAWaiverEndsWithItsDayAndHoldsForItsFindingOnly(t *testing.T) {
	p, err := Parse("p.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	last := time.Date(2030, 1, 31, 23, 59, 59, 0, time.UTC)
	for _, c := range []struct {
		id, variant, fingerprint string
		at                       time.Time
		want                     bool
	}{
		{"l2-chatter", "", "abc", last, true},
		{"l2-chatter", "", "abc", last.Add(time.Second), false},
		{"l2-chatter", "lldp", "abc", last, false},
		{"l2-chatter", "", "abd", last, false},
		{"client-crash", "", "abc", last, false},
	} {
		if _, got := p.Accepts(c.id, c.variant, c.fingerprint, c.at); got != c.want {
			t.Errorf("%+v is accepted: %v", c, got)
		}
	}
	if n := len(p.Expired(last)); n != 0 {
		t.Errorf("%d waivers expired too early", n)
	}
	if n := len(p.Expired(last.Add(time.Second))); n != 1 {
		t.Errorf("%d waivers expired, want 1", n)
	}
}

func TestEveryIDOfAPolicyMustBeKnown(t *testing.T) {
	p, err := Parse("p.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"dhcp-opt121", "client-crash", "reconnect-window", "l2-chatter"}
	for _, missing := range append(all, "") {
		err := p.Knows(func(id string) bool { return id != missing })
		if (err == nil) != (missing == "") {
			t.Errorf("without %q: %v", missing, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("p.toml", data)
		if err != nil {
			return
		}
		for _, w := range p.Waivers {
			if w.Owner == "" || w.Reason == "" || w.Expires.IsZero() {
				t.Errorf("an incomplete waiver: %+v", w)
			}
		}
		for _, e := range p.Entries() {
			if e.Reason == "" || e.To.Bits() < 1 {
				t.Errorf("an entry that is too wide or without reason: %+v", e)
			}
		}
	})
}
