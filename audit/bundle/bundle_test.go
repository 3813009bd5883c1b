package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

var t0 = time.Date(2030, 1, 1, 12, 0, 0, 123456789, time.UTC)

// arp is a whole frame; packet is an IP packet without a link header.
var (
	arp    = []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 1, 0x65, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 1, 0x65, 192, 168, 1, 101, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8}
	packet = []byte{0x45, 0, 0, 21, 0, 0, 0, 0, 64, 99, 0, 0, 10, 8, 0, 2, 8, 8, 8, 8, 'n'}
)

func sample() evidence.Audit {
	frame := func(ms int, data []byte) wire.Frame {
		return wire.Frame{Time: t0.Add(time.Duration(ms) * time.Millisecond), Data: data, Len: len(data)}
	}
	run := func(phase evidence.Phase) evidence.Run {
		return evidence.Run{
			Phase: phase, Started: t0, Ended: t0.Add(time.Second),
			Stimuli: []evidence.Stimulus{{Name: "send", Nonce: "n", Planned: 1, Started: t0, Ended: t0, Signs: evidence.Signs{Needles: [][]byte{{8, 8, 8, 8}}}}},
			Captures: []evidence.Capture{
				{Vantage: "WIRE", Interface: "lan0", Count: 3, Frames: []wire.Frame{frame(1, arp), frame(3, arp[:41]), {Time: t0, Data: arp[:20], Len: 42}},
					Declared: evidence.Declared{Hosts: []netip.Addr{netip.MustParseAddr("192.168.1.101")}, Entries: []evidence.Entry{{Kind: evidence.Carrier, To: netip.MustParsePrefix("203.0.113.10/32")}}}},
				{Vantage: "TUNNEL", Role: evidence.Inside, Layer: evidence.IP, Count: 1, Frames: []wire.Frame{frame(2, packet)}},
				{Vantage: "GUEST", Role: evidence.Source},
			},
		}
	}
	return evidence.Audit{
		Schema: evidence.Schema, Finished: t0.Add(time.Minute), Catalogue: []evidence.Class{{ID: "arp-destination-leak"}},
		Cases: []evidence.Case{{ID: "arp-destination-leak", Variant: "8.8.8.8 <>/", Runs: []evidence.Run{run(evidence.Control), run(evidence.Guarded)}}, {ID: "x", NotTested: "why"}},
	}
}

func build(t *testing.T) (Files, evidence.Audit, []verdict.Result) {
	t.Helper()
	f, err := New(sample())
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Audit()
	if err != nil {
		t.Fatal(err)
	}
	results := verdict.Judge(a, policy.Policy{})
	if err := f.AddFindings(results); err != nil {
		t.Fatal(err)
	}
	f[PolicyName] = []byte("threshold = \"low\"\n")
	return f, a, results
}

func TestABundleGivesTheSameEvidenceBack(t *testing.T) {
	f, a, results := build(t)
	want := sample()
	for i := range want.Cases[0].Runs {
		want.Cases[0].Runs[i].File = a.Cases[0].Runs[i].File
	}
	if d := cmp.Diff(want, a, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("the evidence changed on its way:\n%s", d)
	}
	for _, name := range []string{"bundle", "bundle.tar"} {
		to := filepath.Join(t.TempDir(), name)
		if err := f.Write(to); err != nil {
			t.Fatal(err)
		}
		read, err := Read(to)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, read); d != "" {
			t.Error(d)
		}
		again, err := read.Audit()
		if err != nil {
			t.Fatal(err)
		}
		one, _ := json.Marshal(results)
		two, _ := json.Marshal(verdict.Judge(again, policy.Policy{}))
		if !bytes.Equal(one, two) || results[0].Verdict != verdict.Leak {
			t.Errorf("the verdicts changed on their way: %s\n%s", one, two)
		}
	}
}

func TestOneChangedByteMakesABundleWorthless(t *testing.T) {
	f, _, _ := build(t)
	raw, err := f.tar()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(raw); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(raw); i++ {
		if i > 1024 && (i%101 != 0 && raw[i] == 0 || i%11 != 0) {
			continue // padding, and long files, are tried here and there
		}
		altered := bytes.Clone(raw)
		altered[i] ^= 1 << (i % 8)
		if _, err := parse(altered); !errors.Is(err, ErrAltered) {
			t.Fatalf("byte %d of the archive: %v", i, err)
		}
	}
	for _, altered := range [][]byte{append(bytes.Clone(raw), 0), raw[:len(raw)-1], append(bytes.Clone(raw), make([]byte, 512)...), nil} {
		if _, err := parse(altered); !errors.Is(err, ErrAltered) {
			t.Errorf("%d bytes of %d: %v", len(altered), len(raw), err)
		}
	}
}

func TestOneChangedByteOfADirectoryIsRefused(t *testing.T) {
	f, _, _ := build(t)
	all, err := f.sealed()
	if err != nil {
		t.Fatal(err)
	}
	verify := func(files Files) error {
		dir := fstest.MapFS{}
		for name, data := range files {
			dir[name] = &fstest.MapFile{Data: data}
		}
		read, err := readDir(dir)
		if err != nil {
			return err
		}
		return read.open()
	}
	if err := verify(all); err != nil {
		t.Fatal(err)
	}
	changed := func(name string, data []byte) Files {
		other := Files{}
		for n, d := range all {
			other[n] = d
		}
		if other[name] = data; data == nil {
			delete(other, name)
		}
		return other
	}
	for name, data := range all {
		for i := range data {
			if len(data) > 500 && i%23 != 0 {
				continue
			}
			altered := bytes.Clone(data)
			altered[i] ^= 0x10
			if err := verify(changed(name, altered)); !errors.Is(err, ErrAltered) {
				t.Fatalf("byte %d of %q: %v", i, name, err)
			}
		}
		if err := verify(changed(name, nil)); !errors.Is(err, ErrAltered) {
			t.Errorf("without %q: %v", name, err)
		}
	}
	if err := verify(changed("more", []byte("x"))); !errors.Is(err, ErrAltered) {
		t.Errorf("with one more file: %v", err)
	}
	link := fstest.MapFS{"manifest.json": {Data: []byte("x"), Mode: fs.ModeSymlink}}
	if _, err := readDir(link); !errors.Is(err, ErrAltered) {
		t.Errorf("a link is read: %v", err)
	}
}

func TestABundleReplacesNothingAndLeavesNothingHalf(t *testing.T) {
	f, _, _ := build(t)
	dir := t.TempDir()
	for _, name := range []string{"there", "there.tar"} {
		to := filepath.Join(dir, name)
		if err := os.WriteFile(to, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.Write(to); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over a file: %v", err)
		}
	}
	f["../outside"] = []byte("x")
	if err := f.Write(filepath.Join(dir, "new")); err == nil || !strings.Contains(err.Error(), "no name of a file") {
		t.Errorf("a name outside: %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 2 {
		t.Errorf("left are %v", left)
	}
}

func TestEvidenceThatContradictsItsFramesIsRefused(t *testing.T) {
	for name, do := range map[string]func(Files, *evidence.Audit){
		"no capture file":     func(f Files, a *evidence.Audit) { delete(f, a.Cases[0].Runs[0].File) },
		"a broken one":        func(f Files, a *evidence.Audit) { f[a.Cases[0].Runs[0].File] = f[a.Cases[0].Runs[0].File][:90] },
		"a capture less":      func(_ Files, a *evidence.Audit) { a.Cases[0].Runs[0].Captures = a.Cases[0].Runs[0].Captures[:2] },
		"two captures less":   func(_ Files, a *evidence.Audit) { a.Cases[0].Runs[0].Captures = a.Cases[0].Runs[0].Captures[:1] },
		"another name":        func(_ Files, a *evidence.Audit) { a.Cases[0].Runs[0].Captures[1].Vantage = "WIRE" },
		"another layer":       func(_ Files, a *evidence.Audit) { a.Cases[0].Runs[0].Captures[1].Layer = evidence.Ethernet },
		"another schema":      func(_ Files, a *evidence.Audit) { a.Schema = "vpnguard-audit-evidence/2" },
		"a file that is none": func(_ Files, a *evidence.Audit) { a.Cases[0].Runs[0].File = "README" },
	} {
		f, a, _ := build(t)
		do(f, &a)
		var err error
		if f[EvidenceName], err = encode(a); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Audit(); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// Another program reads the captures, with their names, links and comments.
func TestCapturesOpenInTshark(t *testing.T) {
	f, a, results := build(t)
	dir := filepath.Join(t.TempDir(), "b")
	if err := f.Write(dir); err != nil {
		t.Fatal(err)
	}
	tshark := func(file string, args ...string) string {
		cmd := exec.Command("tshark", append([]string{"-r", filepath.Join(dir, file)}, args...)...)
		var message strings.Builder
		cmd.Stderr = &message
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("tshark: %v: %s", err, message.String())
		}
		return string(out)
	}
	run := a.Cases[0].Runs[1].File
	got := tshark(run, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len", "-e", "frame.protocols")
	want := "WIRE\t1893499200.124456789\t42\t42\teth:ethertype:arp\n" +
		"TUNNEL\t1893499200.125456789\t21\t21\traw:ip:data\n" +
		"WIRE\t1893499200.126456789\t41\t41\teth:ethertype:arp\n" +
		"WIRE\t1893499200.123456789\t42\t20\teth:ethertype:arp\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tshark sees other frames: %s", d)
	}
	found := tshark(FindingName(results[0], 0), "-T", "fields", "-e", "frame.comment", "-e", "arp.dst.proto_ipv4")
	if !strings.Contains(found, "frame 1 of "+run) || !strings.Contains(found, "\t8.8.8.8\n") {
		t.Errorf("the finding's frames are %q", found)
	}
}

func FuzzRead(f *testing.F) {
	files, err := New(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(files[EvidenceName], files["runs/001-arp-destination-leak-8.8.8.8-----0-control.pcapng"])
	f.Fuzz(func(t *testing.T, text, frames []byte) {
		other := Files{EvidenceName: text}
		for name := range files {
			if strings.HasSuffix(name, ".pcapng") {
				other[name] = frames
			}
		}
		if a, err := other.Audit(); err == nil {
			verdict.Judge(a, policy.Policy{})
		}
	})
}
