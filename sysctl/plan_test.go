package sysctl

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is a /proc/sys of files: "family/interface/key" to value.
func tree(t *testing.T, values map[string]int) FS {
	t.Helper()
	root := t.TempDir()
	for name, v := range values {
		part := strings.Split(name, "/")
		dir := filepath.Join(root, "net", part[0], "conf", part[1])
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, part[2]), []byte(strconv.Itoa(v)+"\n"), 0o644))
	}
	return FS{Root: root}
}

func lines(changes []Change) []string {
	got := []string{}
	for _, c := range changes {
		name := strings.Replace(strings.TrimPrefix(c.Knob.String(), "net/"), "conf/", "", 1)
		got = append(got, name+" "+strconv.Itoa(c.Old)+">"+strconv.Itoa(c.New))
	}
	return got
}

func TestPlanFollowsHowTheKernelCombinesAllAndInterface(t *testing.T) {
	for _, tt := range []struct {
		name string
		have map[string]int
		want []string
	}{
		{"rp_filter off", map[string]int{"ipv4/all/rp_filter": 0, "ipv4/e/rp_filter": 0, "ipv4/tun0/rp_filter": 0},
			[]string{"ipv4/e/rp_filter 0>1", "ipv4/tun0/rp_filter 0>1"}},
		{"rp_filter loose in all", map[string]int{"ipv4/all/rp_filter": 2, "ipv4/e/rp_filter": 1},
			[]string{"ipv4/all/rp_filter 2>1"}},
		{"rp_filter loose in both", map[string]int{"ipv4/all/rp_filter": 2, "ipv4/e/rp_filter": 2},
			[]string{"ipv4/e/rp_filter 2>1", "ipv4/all/rp_filter 2>1"}},
		{"rp_filter strict", map[string]int{"ipv4/all/rp_filter": 1, "ipv4/e/rp_filter": 1}, nil},
		{"rp_filter out of range", map[string]int{"ipv4/all/rp_filter": 7, "ipv4/e/rp_filter": -1},
			[]string{"ipv4/e/rp_filter -1>1", "ipv4/all/rp_filter 7>1"}},
		{"no interface, so all is not touched", map[string]int{"ipv4/all/rp_filter": 2, "ipv4/all/send_redirects": 1}, nil},
		{"arp_ignore off", map[string]int{"ipv4/all/arp_ignore": 0, "ipv4/e/arp_ignore": 0, "ipv4/tun0/arp_ignore": 0},
			[]string{"ipv4/e/arp_ignore 0>1"}},
		{"arp_ignore on in all", map[string]int{"ipv4/all/arp_ignore": 1, "ipv4/e/arp_ignore": 0}, nil},
		{"arp_ignore stricter", map[string]int{"ipv4/all/arp_ignore": 0, "ipv4/e/arp_ignore": 8}, nil},
		{"arp_ignore 3 is no stricter", map[string]int{"ipv4/all/arp_ignore": 2, "ipv4/e/arp_ignore": 3},
			[]string{"ipv4/e/arp_ignore 3>1"}},
		{"arp_ignore 3 in all", map[string]int{"ipv4/all/arp_ignore": 3, "ipv4/e/arp_ignore": 0},
			[]string{"ipv4/all/arp_ignore 3>1"}},
		{"arp_announce", map[string]int{"ipv4/all/arp_announce": 1, "ipv4/e/arp_announce": 1},
			[]string{"ipv4/e/arp_announce 1>2"}},
		{"arp_announce in all", map[string]int{"ipv4/all/arp_announce": 2, "ipv4/e/arp_announce": 0}, nil},
		{"arp_announce out of range", map[string]int{"ipv4/all/arp_announce": 3, "ipv4/e/arp_announce": 3},
			[]string{"ipv4/e/arp_announce 3>2", "ipv4/all/arp_announce 3>2"}},
		{"redirects of a host", map[string]int{"ipv4/all/accept_redirects": 1, "ipv4/e/accept_redirects": 1, "ipv4/e/forwarding": 0},
			[]string{"ipv4/e/accept_redirects 1>0", "ipv4/all/accept_redirects 1>0"}},
		{"redirects of a router", map[string]int{"ipv4/all/accept_redirects": 1, "ipv4/e/accept_redirects": 1, "ipv4/e/forwarding": 1},
			[]string{"ipv4/e/accept_redirects 1>0"}},
		{"redirects sent", map[string]int{"ipv4/all/send_redirects": 1, "ipv4/e/send_redirects": 0},
			[]string{"ipv4/all/send_redirects 1>0"}},
		{"source routes", map[string]int{"ipv4/all/accept_source_route": 1, "ipv4/e/accept_source_route": 1},
			[]string{"ipv4/e/accept_source_route 1>0"}},
		{"ipv6", map[string]int{
			"ipv6/all/accept_redirects": 1, "ipv6/e/accept_redirects": 1, "ipv6/e/accept_source_route": 1,
			"ipv6/tun0/accept_source_route": -1, "ipv6/e/accept_ra_rt_info_max_plen": 64},
			[]string{"ipv6/e/accept_redirects 1>0", "ipv6/e/accept_source_route 1>0", "ipv6/e/accept_ra_rt_info_max_plen 64>0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs := tree(t, tt.have)
			got, skipped, err := Plan(fs, []string{"e", "gone"}, []string{"tun0", "e"})
			if err != nil || len(skipped) > 0 {
				t.Fatalf("%v, skipped %v", err, skipped)
			}
			if diff := cmp.Diff(append([]string{}, tt.want...), lines(got)); diff != "" {
				t.Error(diff)
			}
			if _, _, err := fs.Apply(got); err != nil {
				t.Fatal(err)
			}
			if again, _, _ := Plan(fs, []string{"e"}, []string{"tun0"}); len(again) > 0 {
				t.Errorf("a second plan wants %v", lines(again))
			}
			if errs := fs.Restore(got); errs != nil {
				t.Error(errs)
			}
			if diff := cmp.Diff(tree(t, tt.have).dump(t), fs.dump(t)); diff != "" {
				t.Errorf("after Restore:\n%s", diff)
			}
		})
	}
}

func (fs FS) dump(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	base := filepath.Join(fs.root(), "net")
	must(t, filepath.WalkDir(base, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				data = []byte(err.Error()) // stable_secret unset, flush
			}
			all[strings.TrimPrefix(path, base)] = string(data)
		}
		return err
	}))
	return all
}

func TestBadInterfaceNamesAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../x", "a b", "a\n", "a:1", "default", "sixteen-bytes-xx", "a\x00", "\u00e0"} {
		if k, err := RPFilter(name); err == nil {
			t.Errorf("RPFilter(%q) = %v", name, k)
		}
		if _, _, err := Plan(FS{Root: t.TempDir()}, []string{name}, nil); err == nil {
			t.Errorf("Plan with %q succeeded", name)
		}
	}
	if _, _, err := Plan(FS{Root: t.TempDir()}, nil, []string{All}); err == nil {
		t.Error("Plan took All for an interface")
	}
}

func TestKnobOfADottedInterfaceIsItsPath(t *testing.T) {
	k, err := RPFilter("eth0.100")
	must(t, err)
	if got, want := k.path("/proc/sys"), "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestChangeSurvivesTheJournal(t *testing.T) {
	for i := range keys {
		k := Knob{key: &keys[i], iface: "eth0.100"}
		data, err := json.Marshal(Change{Knob: k, Old: -1, New: 1})
		must(t, err)
		var got Change
		must(t, json.Unmarshal(data, &got))
		if got != (Change{Knob: k, Old: -1, New: 1}) {
			t.Errorf("%s: %+v", data, got)
		}
	}
	want := `{"knob":"net/ipv4/conf/eth0/rp_filter","old":0,"new":1}`
	k, _ := RPFilter("eth0")
	if data, err := json.Marshal(Change{Knob: k, New: 1}); err != nil || string(data) != want {
		t.Errorf("%s, %v, want %s", data, err, want)
	}
	if _, err := json.Marshal(Change{}); err == nil {
		t.Error("marshalled a zero knob")
	}
}

func TestJournalCannotNameAnotherFile(t *testing.T) {
	for _, s := range []string{
		"", "kernel/core_pattern", "net/ipv4/ip_forward", "net/ipv4/conf/eth0/nothing", "net/ipv4/conf/../rp_filter",
		"net/ipv4/conf/a/b/rp_filter", "/net/ipv4/conf/eth0/rp_filter", "net/ipv6/conf/eth0/rp_filter",
		"net/ipv4/neigh/eth0/rp_filter", "net.ipv4.conf.eth0.rp_filter", "net/ipv4/conf//rp_filter",
	} {
		if k, err := ParseKnob(s); err == nil {
			t.Errorf("ParseKnob(%q) = %v", s, k)
		}
	}
}

func TestWriteKeepsToRanges(t *testing.T) {
	fs := tree(t, map[string]int{"ipv4/e/rp_filter": 1, "ipv4/e/forwarding": 0})
	rp, _ := RPFilter("e")
	fwd, _ := Forwarding(All)
	gone, _ := RPFilter("gone")
	for _, err := range []error{fs.Write(rp, 3), fs.Write(rp, -1), fs.Write(fwd, 1), fs.Write(Knob{}, 0)} {
		if err == nil {
			t.Error("written")
		}
	}
	if errs := fs.Restore([]Change{{Knob: fwd, Old: 1, New: 0}}); len(errs) != 1 {
		t.Errorf("a journal could write a knob that is only read: %v", errs)
	}
	if err := fs.Write(gone, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
	if _, err := os.Stat(gone.path(fs.Root)); err == nil {
		t.Error("created a knob")
	}
}

func TestRestoreKeepsWhatOthersChanged(t *testing.T) {
	fs := tree(t, map[string]int{"ipv4/e/rp_filter": 2, "ipv4/f/rp_filter": 0})
	plan, _, err := Plan(fs, []string{"e", "f"}, nil)
	must(t, err)
	_, _, err = fs.Apply(plan)
	must(t, err)
	must(t, fs.Write(plan[0].Knob, 0))
	if drift := fs.Verify(plan); len(drift) != 1 || drift[0].Have != 0 {
		t.Errorf("drift %v", drift)
	}
	must(t, os.RemoveAll(filepath.Dir(plan[1].Knob.path(fs.Root)))) // the interface goes
	errs := fs.Restore(plan)
	var changed *ChangedError
	if len(errs) != 1 || !errors.As(errs[0], &changed) || changed.Have != 0 {
		t.Errorf("%v, want one ChangedError", errs)
	}
	if v, _ := fs.Read(plan[0].Knob); v != 0 {
		t.Errorf("wrote %d over somebody else's 0", v)
	}
}

func TestMergeKeepsTheFirstOld(t *testing.T) {
	e, _ := RPFilter("e")
	f, _ := RPFilter("f")
	got := Merge([]Change{{e, 2, 1}}, []Change{{e, 0, 1}, {f, 0, 1}, {f, 2, 1}})
	if diff := cmp.Diff([]Change{{e, 2, 1}, {f, 0, 1}}, got, cmp.Comparer(func(a, b Knob) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
