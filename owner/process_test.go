package owner

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fixture is a /proc with one process 42 of files: name to content, a leading
// "->" making a link.
func fixture(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if to, ok := strings.CutPrefix(text, "->"); ok {
			must(t, os.Symlink(to, path))
			continue
		}
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return root
}

func statLine(pid int, comm, state string, parent, start int) string {
	return strconv.Itoa(pid) + " (" + comm + ") " + state + " " + strconv.Itoa(parent) +
		" 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 " + strconv.Itoa(start) + " 23 24\n"
}

const statusText = "Name:\topenvpn\nUid:\t1000\t65534\t0\t65534\nGid:\t1\t2\t3\t4\nCapInh:\t0000000000000000\nCapEff:\t0000000000003000\n"

func openvpnFiles() map[string]string {
	return map[string]string{
		"42/stat":            statLine(42, "open) S 9 (vpn\n", "S", 7, 123456),
		"42/status":          statusText,
		"42/cmdline":         "openvpn\x00--config\x00\x00a b\x00",
		"42/cgroup":          "1:name=systemd:/x\n0::/system.slice/openvpn@a.service\n",
		"42/exe":             "->/usr/sbin/openvpn",
		"42/cwd":             "->/etc/openvpn",
		"42/ns/net":          "->net:[4026531840]",
		"thread-self/ns/net": "->net:[4026531840]",
	}
}

func TestDiscoverReadsAll(t *testing.T) {
	got, err := Discover(42, fixture(t, openvpnFiles()))
	must(t, err)
	want := Process{
		PID: 42, Parent: 7, Comm: "open) S 9 (vpn\n", Exe: "/usr/sbin/openvpn", Cwd: "/etc/openvpn",
		Args: []string{"openvpn", "--config", "", "a b"}, UIDs: IDs{1000, 65534, 0, 65534}, GIDs: IDs{1, 2, 3, 4},
		StartTime: 123456, Cgroup: "/system.slice/openvpn@a.service", NetNS: 4026531840, OwnNetNS: true, CapEff: 0x3000,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.Has(unix.CAP_NET_ADMIN) || !got.Has(unix.CAP_NET_RAW) || got.Has(unix.CAP_SYS_ADMIN) || got.Has(-1) || got.Has(64) {
		t.Error("capabilities are read wrongly")
	}
}

func TestDiscoverSaysLessOfAHardenedProcess(t *testing.T) {
	files := openvpnFiles()
	for _, name := range []string{"42/exe", "42/cwd", "42/ns/net", "42/cgroup"} {
		delete(files, name)
	}
	got, err := Discover(42, fixture(t, files))
	if err != nil || got.Exe != "" || got.Cwd != "" || got.NetNS != 0 || got.OwnNetNS || got.Cgroup != "" {
		t.Errorf("%+v, %v", got, err)
	}
	files["42/ns/net"] = "->net:[1]"
	if got, err := Discover(42, fixture(t, files)); err != nil || got.OwnNetNS {
		t.Errorf("another namespace was taken for ours: %+v, %v", got, err)
	}
}

func TestDiscoverRefusesWhatItCannotRead(t *testing.T) {
	if _, err := Discover(43, fixture(t, openvpnFiles())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
	for name, text := range map[string]string{
		"42/stat": "42 openvpn S", "42/status": "Uid:\t1\n",
	} {
		files := openvpnFiles()
		files[name] = text
		if got, err := Discover(42, fixture(t, files)); err == nil {
			t.Errorf("%s %q: %+v", name, text, got)
		}
	}
}

func TestAliveKnowsZombiesAndReusedPIDs(t *testing.T) {
	files := openvpnFiles()
	if root := fixture(t, files); !Alive(42, 123456, root) || Alive(42, 123457, root) || Alive(41, 123456, root) {
		t.Error("wrong")
	}
	files["42/stat"] = statLine(42, "x", "Z", 7, 123456)
	if Alive(42, 123456, fixture(t, files)) {
		t.Error("a zombie is alive")
	}
}

func TestDiscoverAgreesWithTheKernelAboutUs(t *testing.T) {
	got, err := Discover(os.Getpid(), "")
	must(t, err)
	exe, _ := os.Executable()
	cwd, _ := os.Getwd()
	uid := uint32(os.Getuid())
	if got.Parent != os.Getppid() || got.Exe != exe || got.Cwd != cwd || !got.OwnNetNS || got.UIDs != (IDs{uid, uid, uid, uid}) ||
		!cmp.Equal(got.Args, os.Args) || got.StartTime == 0 || !Alive(got.PID, got.StartTime, "") {
		t.Errorf("%+v", got)
	}
}

func TestAncestorsEndAtTheFirstProcess(t *testing.T) {
	chain, err := Ancestors(os.Getpid(), 100, "")
	if err != nil || len(chain) == 0 || chain[0].PID != os.Getppid() {
		t.Fatalf("%+v, %v", chain, err)
	}
	if last := chain[len(chain)-1]; last.PID != 1 && last.Parent != 0 {
		t.Errorf("ends at %d", last.PID)
	}
	if short, err := Ancestors(os.Getpid(), 1, ""); err != nil || len(short) != 1 {
		t.Errorf("limit 1: %d, %v", len(short), err)
	}
	// The fixture's parent does not exist.
	if chain, err := Ancestors(42, 5, fixture(t, openvpnFiles())); err != nil || len(chain) != 0 {
		t.Errorf("%v, %v", chain, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add(statLine(1, "a) b", "S", 0, 1))
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseStat(text) })
}
