package nft_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

func TestReplaceKeepsOldTableOnError(t *testing.T) {
	conn := open(t)
	spoilt := map[string]func(*rules.Ruleset){
		"a hook that its family lacks": func(rs *rules.Ruleset) { rs.Tables[1].Chains[0].Hook = rules.Output },
		"a chain twice": func(rs *rules.Ruleset) {
			c := rs.Tables[0].Chains[0]
			c.Priority++
			rs.Tables[0].Chains = append(rs.Tables[0].Chains, c)
		},
		"a lookup in no set": func(rs *rules.Ruleset) { rs.Tables[0].Sets = rs.Tables[0].Sets[:1] },
	}
	if kernel(t) < 6_16 {
		spoilt["egress on a device that does not exist"] = func(rs *rules.Ruleset) { rs.Tables[1].Chains[0].Device = "nowhere" }
	}
	for name, spoil := range spoilt {
		t.Run(name, func(t *testing.T) {
			have, err := conn.Replace(build(t, policy()))
			if err != nil {
				t.Fatal(err)
			}
			before := listed(t)
			other := policy()
			other.LAN = false
			bad := build(t, other)
			spoil(&bad)
			if _, err = conn.Replace(bad); err == nil {
				t.Fatal("the ruleset was taken")
			}
			var unsupported *nft.UnsupportedError
			if errors.As(err, &unsupported) {
				t.Errorf("the kernel lacks nothing, but: %v", err)
			}
			if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(listed(t), "\n")); diff != "" {
				t.Errorf("%v changed:\n%s", err, diff)
			}
			now, err := conn.List()
			if err != nil || now.Fingerprint() != have.Fingerprint() {
				t.Errorf("fingerprint differs, %v", err)
			}
			// Nothing of the refused one is left to go out with the next commit.
			if _, err := conn.Replace(build(t, policy())); err != nil {
				t.Errorf("after the refusal: %v", err)
			}
		})
	}
}

func TestReplaceKeepsChainsThatStay(t *testing.T) {
	conn := open(t)
	if _, err := conn.Replace(build(t, policy())); err != nil {
		t.Fatal(err)
	}
	before := handles(t)
	other := policy()
	other.LAN, other.Carriers = false, nil
	other.Wires = []rules.Wire{{Name: "wire1.5", Index: 11}}
	if _, err := conn.Replace(build(t, other)); err != nil {
		t.Fatal(err)
	}
	after := handles(t)
	for _, name := range []string{"prerouting", "input", "forward", "output"} {
		if before[name] == "" || before[name] != after[name] {
			t.Errorf("chain %q was handle %q and is %q", name, before[name], after[name])
		}
	}
	if before["fence_10"] == "" || after["fence_10"] != "" || after["fence_11"] == "" {
		t.Errorf("fences: %v, then %v", before, after)
	}
	// A wire that got another name has its fence there.
	other.Wires[0].Name = "wire0.5"
	have, err := conn.Replace(build(t, other))
	if err != nil {
		t.Fatal(err)
	}
	if got := have.Tables[1].Chains[0].Device; got != "wire0.5" {
		t.Errorf("the fence is on %q", got)
	}
	if _, err := conn.Replace(build(t, rules.Policy{})); err != nil {
		t.Fatal(err)
	}
	if text := listed(t); strings.Contains(text, "table netdev") {
		t.Errorf("the fences stay without a wire:\n%s", text)
	}
}

const foreignTables = `
table inet foreign {
	set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
	map m { type inet_service : verdict; elements = { 22 : accept }; }
	counter c { packets 7 bytes 70; }
	chain input {
		type filter hook input priority 10; policy accept;
		ip saddr @s counter packets 3 bytes 4 accept comment "mine"
		tcp dport vmap @m
	}
	chain third { }
	chain other { jump third; }
}
table ip vpnguard {
	chain output {
		type filter hook output priority 5; policy accept;
		counter comment "out-end: of another family"
	}
}
table netdev foreign {
	chain out { type filter hook egress device "wire0.5" priority 3; policy accept; }
}
table inet vpnguard2 {
	chain output { type filter hook output priority 1; policy accept; }
}
`

func TestForeignTablesAreLeftAlone(t *testing.T) {
	conn := open(t)
	script(t, foreignTables)
	t.Cleanup(func() {
		script(t, "delete table inet foreign; delete table ip vpnguard; delete table netdev foreign; delete table inet vpnguard2")
	})
	foreign := listed(t)
	without := func(step string) {
		t.Helper()
		var rest []string
		for _, part := range strings.SplitAfter(listed(t), "\n}\n") {
			if !strings.HasPrefix(part, "table inet vpnguard {") && !strings.HasPrefix(part, "table netdev vpnguard {") {
				rest = append(rest, part)
			}
		}
		if diff := cmp.Diff(foreign, strings.Join(rest, "")); diff != "" {
			t.Errorf("%s changed foreign tables:\n%s", step, diff)
		}
	}
	for _, p := range []rules.Policy{policy(), {Profile: rules.Split}, policy()} {
		if _, err := conn.Replace(build(t, p)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(listed(t), "table inet vpnguard {") {
			t.Fatal("our table is not there")
		}
		without("Replace")
	}
	conn.Probe()
	without("Probe")
	for range 2 {
		if err := conn.Remove(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(foreign, listed(t)); diff != "" {
			t.Errorf("Remove left or took too much:\n%s", diff)
		}
	}
	if have, err := conn.List(); err != nil || len(have.Tables) != 0 {
		t.Errorf("after Remove: %+v, %v", have, err)
	}
}

// Since Linux 6.16 a chain keeps the name of a device that is gone, or not
// there yet; before, the chain goes with the device and cannot be made without.
func TestAVanishedWireIsSeenOrKeptByName(t *testing.T) {
	conn := open(t)
	rs := build(t, policy())
	had, err := conn.Replace(rs)
	if err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "link", "del", "wire0.5")
	have, err := conn.List()
	if err != nil {
		t.Fatal(err)
	}
	drift := have.Compare(rs)
	same := have.Fingerprint() == had.Fingerprint()
	_, err = conn.Replace(rs)
	if byName := kernel(t) >= 6_16; byName && (len(drift) > 0 || !same || err != nil) {
		t.Errorf("the fence is not kept by name: drift %v, same fingerprint %v, %v", drift, same, err)
	} else if !byName && (len(drift) == 0 || same || !errors.Is(err, unix.ENOENT)) {
		t.Errorf("a fence without its wire: drift %v, same fingerprint %v, %v", drift, same, err)
	}
	rest := policy()
	rest.Wires = []rules.Wire{{Name: "wire1.5", Index: 11}}
	if _, err := conn.Replace(build(t, rest)); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "link", "add", "wire0.5", "type", "veth", "peer", "name", "peer0")
	if _, err := conn.Replace(rs); err != nil {
		t.Fatalf("the wire is back: %v", err)
	}
}

// kernel is 6_16 for Linux 6.16.
func kernel(t *testing.T) int {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major*100 + minor
}

func TestManyEndpointsAreOneTransaction(t *testing.T) {
	const many = 10_000
	conn := open(t)
	p := policy()
	p.Carriers[0].Endpoints = nil
	for i := range many {
		a := netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), 10})
		if i%2 == 1 {
			a = netip.MustParseAddr(fmt.Sprintf("2001:db8:5::%x", i))
		}
		p.Carriers[0].Endpoints = append(p.Carriers[0].Endpoints, udpEndpoint(a.String(), uint16(1+i)))
	}
	rs := build(t, p)
	start := time.Now()
	have, err := conn.Replace(rs)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("replaced in %v", time.Since(start))
	if drift := have.Compare(rs); len(drift) > 0 {
		t.Error(drift)
	}
	total := 0
	for _, s := range have.Tables[0].Sets {
		total += s.Len
	}
	// Each is in its carrier's set and in that of the servers' addresses.
	if total != 2*many {
		t.Errorf("%d elements, want %d", total, 2*many)
	}
	out := run(t, "nft", "list", "set", "inet", "vpnguard", "carrier0_ip4")
	if n := strings.Count(out, " . udp . "); n != many/2 {
		t.Errorf("nft lists %d endpoints, want %d", n, many/2)
	}
	p.Carriers[0].Endpoints = p.Carriers[0].Endpoints[:1]
	if _, err := conn.Replace(build(t, p)); err != nil {
		t.Errorf("replace many by few: %v", err)
	}
}

// Somebody else changes the ruleset all the time: most commits meet another
// generation than the one that was read.
func TestReplaceSucceedsWhileOthersChangeTheRuleset(t *testing.T) {
	conn := open(t)
	loop := exec.Command("sh", "-c", `while :; do nft -f - <<END
add table inet busy
add chain inet busy c
END
nft 'delete table inet busy'; echo; done`)
	out, err := loop.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	turns := make(chan struct{}, 1<<16)
	// The nft that the shell started may outlive it; the pipe ends with both.
	stop := sync.OnceFunc(func() {
		_ = loop.Process.Kill()
		for range turns {
		}
		_ = loop.Wait()
	})
	defer stop()
	go func() {
		defer close(turns)
		one := make([]byte, 1)
		for {
			if _, err := out.Read(one); err != nil {
				return
			}
			turns <- struct{}{}
		}
	}()
	done := 0
	for i := 0; i < 200 || len(turns) < 20; i++ {
		p := policy()
		p.LAN = i%2 == 0
		rs := build(t, p)
		have, err := conn.Replace(rs)
		if err != nil {
			t.Fatalf("replacement %d, after %d foreign changes: %v", i, len(turns), err)
		}
		if drift := have.Compare(rs); len(drift) > 0 {
			t.Fatalf("replacement %d: %v", i, drift)
		}
		done++
	}
	t.Logf("%d replacements among %d foreign changes", done, len(turns))
	stop()
	_ = exec.Command("nft", "delete", "table", "inet", "busy").Run()
}
