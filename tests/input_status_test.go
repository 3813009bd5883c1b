package tests

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// status reads `status --json` and demands its whole contract.
func (s *faultScene) status(when string, wantCode int) map[string]any {
	s.Helper()
	stdout, stderr, code := s.vpnguard("status", "--json")
	if code != wantCode {
		s.Errorf("%s: status --json exits %d, want %d: %s", when, code, wantCode, stderr)
	}
	if (code == 0) != (stderr == "") {
		s.Errorf("%s: exit %d and on stderr %q", when, code, stderr)
	}
	var all map[string]any
	dec := json.NewDecoder(strings.NewReader(stdout))
	if err := dec.Decode(&all); err != nil || dec.More() {
		s.Fatalf("%s: not one JSON value: %v\n%s", when, err, stdout)
	}
	s.shape(when, all, map[string]any{
		"version": 0.0, "state": "", "enforced": true, "drift": []any{""}, "notes": []any{""},
		"sessions": []any{map[string]any{
			"id": "", "client": "", "dev": "", "profile": "", "endpoints": []any{""}, "pid": 0.0, "up": true, "since": "",
			"owner": map[string]any{"uids": []any{0.0}, "mark": "", "cgroup": ""}, "dns": []any{""},
		}},
		"guardian": map[string]any{"running": true, "pid": 0.0},
		"counters": []any{map[string]any{"chain": "", "rule": "", "packets": 0.0, "bytes": 0.0}},
	})
	if all["version"] != 1.0 || all["enforced"] != (code == 0) || (len(all["drift"].([]any)) == 0) != (code == 0) {
		s.Errorf("%s: version %v, enforced %v with %v and exit %d", when, all["version"], all["enforced"], all["drift"], code)
	}
	return all
}

// shape demands the fields of want, their types, and no null.
func (s *faultScene) shape(path string, have, want any) {
	s.Helper()
	switch want := want.(type) {
	case map[string]any:
		object, ok := have.(map[string]any)
		if !ok {
			s.Errorf("%s is no object: %v", path, have)
		}
		for key, value := range want {
			if _, ok := object[key]; !ok {
				s.Errorf("%s.%s is missing", path, key)
				continue
			}
			s.shape(path+"."+key, object[key], value)
		}
	case []any:
		list, ok := have.([]any)
		if !ok {
			s.Errorf("%s is no list: %v", path, have)
		}
		for _, item := range list {
			s.shape(path+"[]", item, want[0])
		}
	case string:
		if _, ok := have.(string); !ok {
			s.Errorf("%s is no string: %v", path, have)
		}
	case float64:
		if _, ok := have.(float64); !ok {
			s.Errorf("%s is no number: %v", path, have)
		}
	case bool:
		if _, ok := have.(bool); !ok {
			s.Errorf("%s is no boolean: %v", path, have)
		}
	}
}

func TestStatusInJSONKeepsItsContractInEveryState(t *testing.T) {
	s := newHandScene(t, "faultpoints")
	demand := func(state string, code, sessions int) map[string]any {
		t.Helper()
		st := s.status(state, code)
		if st["state"] != state || len(st["sessions"].([]any)) != sessions {
			t.Errorf("want %s with %d sessions: %v", state, sessions, st)
		}
		return st
	}
	demand("open", 0, 0)

	if _, stderr, code := s.run(hookEnv("up"), slices.Concat(hookArgs[:1], []string{"--dns=10.8.0.1", "--mark=0x51/0xff"}, hookArgs[1:])...); code != 0 {
		t.Fatal(stderr)
	}
	st := demand("sealed", 0, 1)
	one := st["sessions"].([]any)[0].(map[string]any)
	for key, want := range map[string]any{"id": "tun0", "dev": "tun0", "client": "openvpn", "profile": "full", "up": true} {
		if one[key] != want {
			t.Errorf("%s is %v, want %v", key, one[key], want)
		}
	}
	if got := one["endpoints"].([]any); !slices.Equal(got, []any{"203.0.113.10:1194/udp"}) {
		t.Errorf("endpoints %v", got)
	}
	if got := one["dns"].([]any); !slices.Equal(got, []any{"10.8.0.1"}) {
		t.Errorf("dns %v", got)
	}
	if got := one["owner"].(map[string]any)["mark"]; got != "0x51/0xff" {
		t.Errorf("mark %v", got)
	}
	if len(st["counters"].([]any)) < 10 {
		t.Errorf("counters %v", st["counters"])
	}

	if _, stderr, code := s.run(hookEnv("down", "signal", "sigusr1"), append([]string{"down"}, hookArgs[1:]...)...); code != 0 {
		t.Fatal(stderr)
	}
	demand("connecting", 0, 1)
	s.must(0, "down")
	demand("open", 0, 0)

	s.kill(point{"nft.commit.after", 1}, upByHand...)
	demand("blocked", 3, 1)
	s.must(0, "recover")
	demand("open", 0, 0)
}

// Each is done behind our back by the system's own tools.
var tampering = []struct{ name, script string }{
	{"rule added", "nft add rule inet vpnguard output accept"},
	{"rule inserted", "nft insert rule inet vpnguard output oifname eth0 accept"},
	{"rule deleted", `nft delete rule inet vpnguard output handle $(nft -a list chain inet vpnguard output | sed -n 's/.*"out-end.*handle //p' | head -1)`},
	{"rule replaced under the same comment", `h=$(nft -a list chain inet vpnguard input | sed -n 's/.*"in-end.*handle //p'); nft replace rule inet vpnguard input handle $h counter accept comment '"in-end: silence: an answer would tell that the host is here"'`},
	{"chain flushed", "nft flush chain inet vpnguard forward"},
	{"table flushed", "nft flush table inet vpnguard"},
	{"table deleted", "nft delete table inet vpnguard"},
	{"ruleset flushed", "nft flush ruleset"},
	{"policy changed", "nft chain inet vpnguard output '{ policy accept ; }'"},
	{"table put to sleep", "nft add table inet vpnguard '{ flags dormant; }'"},
	{"chain added", "nft add chain inet vpnguard more '{ type filter hook output priority -10; policy accept; }'"},
	{"endpoint added to a set", "nft add element inet vpnguard carrier0_ip4 '{ 203.0.113.66 . udp . 1194 }'"},
	{"endpoint exchanged in a set", "nft add element inet vpnguard carrier0_ip4 '{ 203.0.113.66 . udp . 1194 }'; nft delete element inet vpnguard carrier0_ip4 '{ 203.0.113.10 . udp . 1194 }'"},
	{"fence deleted", "nft delete table netdev vpnguard"},
	{"fence flushed", "nft flush table netdev vpnguard"},
	{"knob turned back", "echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter"},
	{"knob of all turned back", "echo 1 > /proc/sys/net/ipv4/conf/all/accept_redirects"},
	{"knob of IPv6 turned back", "echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_redirects"},
	{"record removed", "rm /run/vpnguard/state.json"},
}

func TestStatusExitsThreeOnEveryKindOfDriftAndUpRepairs(t *testing.T) {
	s := newHandScene(t, "")
	s.must(0, upByHand...)
	sealed := s.snapshot()
	sealed[rulesKey] = inOrder(sealed[rulesKey])
	for _, c := range tampering {
		s.status("before: "+c.name, 0)
		if err := s.lab.Client.Script(s.ctx, c.script); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		s.status(c.name, 3)
		if _, stderr, code := s.vpnguard("status"); code != 3 || !strings.Contains(stderr, "what is enforced is not what was recorded") {
			t.Errorf("%s: status exits %d: %s", c.name, code, stderr)
		}
		if c.name == "record removed" {
			break // nothing tells the old knobs any more: `recover` is all that is left
		}
		s.must(0, upByHand...)
		now := s.snapshot()
		now[rulesKey] = inOrder(now[rulesKey])
		if diff := sealed.Diff(now); diff != "" {
			t.Errorf("%s: the next up does not repair it:\n%s", c.name, diff)
		}
	}
	if _, stderr := s.must(1, "down"); !strings.Contains(stderr, "no session is recorded, but our rules are in force; the host is closed") {
		t.Errorf("down without a record says: %s", stderr)
	}
	s.must(0, "recover")
	if rules := s.rules(); rules != "" {
		t.Errorf("recover without a record leaves rules:\n%s", rules)
	}
}

// inOrder sorts the tables of a listing, which nft shows in the order of their making.
func inOrder(listing string) string {
	tables := strings.Split("\n"+strings.TrimSpace(listing), "\ntable ")
	slices.Sort(tables)
	return strings.Join(tables, "\ntable ")
}

func TestDownAfterTamperingStillGivesTheHostBack(t *testing.T) {
	s := newHandScene(t, "")
	for _, c := range tampering[:15] {
		s.must(0, upByHand...)
		if err := s.lab.Client.Script(s.ctx, c.script); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		s.must(0, "down")
		s.original(c.name + " and down")
	}
}
