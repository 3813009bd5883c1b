package lab

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// The client must have no chatter of its own, or "every frame explained" would
// fail for nothing. Three seconds hold every timer that an interface starts.
func TestAnIdleClientIsSilent(t *testing.T) {
	l := newLab(t)
	ctx := within(t, 20*time.Second)
	mark, err := l.Capture().Mark(ctx)
	if err != nil {
		t.Fatal(err)
	}
	idle := within(t, 3*time.Second)
	frames, err := l.Capture().Until(idle, mark, func(f []wire.Frame) bool { return len(f) > 0 })
	if err == nil {
		t.Errorf("an idle client sent: %v", l.Policy().Judge(frames))
	}
}

// What an honest program does on the LAN is explained, all of it.
func TestAHarmlessRunHasNoFinding(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wire.pcap")
	l, err := New(t.Context(), Options{Pcap: file})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := within(t, 20*time.Second)
	mark, err := l.Capture().Mark(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.Addr{site.Public, site.Public6} {
		if _, err := l.SeenAs(ctx, l.Client, ordinary(), "udp", netip.AddrPortFrom(to, probe.EchoPort)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Capture().Sync(ctx); err != nil {
		t.Fatal(err)
	}
	frames := l.Capture().Since(mark)
	// The echoes themselves stand for carriers; ARP and ND remain.
	policy := l.Policy(
		wire.Carrier{Remote: netip.AddrPortFrom(site.Public, probe.EchoPort), Proto: wire.UDP},
		wire.Carrier{Remote: netip.AddrPortFrom(site.Public6, probe.EchoPort), Proto: wire.UDP})
	v := policy.Judge(frames)
	if len(v.Leaks) > 0 || v.Counts[wire.CarrierClass] != 2 || v.Counts[wire.ARP] == 0 || v.Counts[wire.ND] == 0 {
		t.Errorf("want 2 carriers, ARP and ND: %v", v)
	}
	// The same frames without the carriers are leaks: the policy decides.
	if v := l.Policy().Judge(frames); len(v.Leaks) != 2 {
		t.Errorf("want 2 leaks: %v", v)
	}
	// The file has the same frames.
	all := l.Capture().Since(0)
	l.Close()
	saved, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	r, err := pcapgo.NewReader(saved)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		data, _, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, f.Data) {
			t.Fatalf("frame %d of the file: %v", i, err)
		}
	}
}

func TestABlockedProbeIsNotReported(t *testing.T) {
	l := newLab(t)
	ctx := within(t, 20*time.Second)
	if _, err := l.Control(ctx, l.Client, ordinary(), probe.Order{Name: "udp-public"}); err != nil {
		t.Fatal(err)
	}
	fence := "nft -f - <<END\ntable inet fence { chain out { type filter hook output priority 0; oifname \"eth0\" drop; }\n}\nEND\n"
	if err := l.Client.Script(ctx, fence); err != nil {
		t.Fatal(err)
	}
	a, err := l.Try(ctx, l.Client, ordinary(), probe.Order{Name: "udp-public"})
	if err != nil {
		t.Fatal(err)
	}
	if v := l.Policy().Judge(a.Frames); len(a.Seen)+len(v.Leaks) > 0 {
		t.Errorf("reported: %v", v)
	}
	if a.Receipt.Sent != 0 || a.Receipt.Sends[0].Errno == 0 {
		t.Errorf("want a receipt of the refusal, got %v", a.Receipt)
	}
	// And a control of a blocked probe is an error, not a pass.
	if _, err := l.Control(ctx, l.Client, ordinary(), probe.Order{Name: "udp-public"}); !errors.Is(err, ErrSilent) {
		t.Errorf("control of a blocked probe: %v, want %v", err, ErrSilent)
	}
	// What inet hooks never see goes on.
	if _, err := l.Control(ctx, l.Client, 0, probe.Order{Name: "packet-ipv4-bypass"}); err != nil {
		t.Error(err)
	}
}
