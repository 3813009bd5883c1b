package owner

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// parseFiles parses a command line with files below /etc/openvpn.
func parseFiles(t testing.TB, files map[string]string, args ...string) Settings {
	t.Helper()
	got, err := ParseOpenVPN(append([]string{"openvpn"}, args...), "/etc/openvpn", func(path string) ([]byte, error) {
		text, ok := files[strings.TrimPrefix(path, "/etc/openvpn/")]
		if !ok {
			return nil, fmt.Errorf("open %s: %w", path, os.ErrPermission)
		}
		return []byte(text), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLinesAreSplitAsOpenVPNDoes(t *testing.T) {
	for line, want := range map[string][]string{
		``: nil, `# c`: nil, `  ; c`: nil,
		`remote a 1194 # c`: {"remote", "a", "1194"},
		`a#b c;d`:           {"a#b", "c;d"},
		`"a b" 'c "d\' e`:   {"a b", `c "d\`, "e"},
		`a\ b \"c\" \\`:     {"a b", `"c"`, `\`},
		`"a\"b"`:            {`a"b`},
		`a"b c"`:            {`a"b`, `c"`},
		"a\tb\r":            {"a", "b"},
		`""`:                {""},
	} {
		if got, err := splitLine(line); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`"a`, `'a`, `a\b`, `a "b c`} {
		if got, err := splitLine(line); err == nil {
			t.Errorf("%q: %q, want an error", line, got)
		}
	}
}

func TestOpenVPNSettingsComeFromFilesAndCommandLine(t *testing.T) {
	files := map[string]string{
		"a.conf": "\ufeffclient\nuser nobody\ngroup \"no group\"\nmark 51820\ndev tun7\ndev-type tun\npersist-tun\ndisable-dco\n" +
			"setenv opt chroot /var/empty\n<ca>\nuser root\n</ca>\n--port 1300\nconfig b.inc\nremote late.example\n",
		"b.inc": "remote 203.0.113.5 443 tcp4\nremote 2001:db8::5 1195 udp6\nconfig missing.inc\nbroken \"\n",
	}
	got := parseFiles(t, files, "--config", "a.conf", "--rport", "1400", "--socks-proxy", "10.0.0.1")
	socks := Proxy{Kind: "socks", Host: "10.0.0.1", Port: 1080}
	want := Settings{
		User: "nobody", Group: "no group", Chroot: "/var/empty", Mark: 51820, Dev: "tun7", DevType: "tun",
		PersistTun: true, DisableDCO: true, Files: []string{"/etc/openvpn/a.conf", "/etc/openvpn/b.inc"},
		Remotes: []Remote{
			{Host: "203.0.113.5", Port: 443, Proto: "tcp", Family: 4, Proxy: socks},
			{Host: "2001:db8::5", Port: 1195, Proto: "udp", Family: 4, Proxy: socks},
			{Host: "late.example", Port: 1400, Proto: "udp", Proxy: socks},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Settings{}, "Unknown")); diff != "" {
		t.Error(diff)
	}
	if len(got.Unknown) != 2 || !errors.Is(got.Unknown[0], os.ErrPermission) || got.Unknown[1].Line != 4 {
		t.Errorf("unknown: %v", got.Unknown)
	}
}

func TestUnknownIsSaidAndNeverFatal(t *testing.T) {
	for name, args := range map[string][]string{
		"missing":   {"--config", "gone.conf"},
		"stdin":     {"--config", "stdin"},
		"itself":    {"loop.conf"},
		"many":      {"twice.conf"},
		"mark":      {"--mark", "0x10"},
		"port":      {"--remote", "a", "https"},
		"unclosed":  {"open.conf"},
		"no remote": {"empty.conf"},
		"random":    {"--remote-random-hostname"},
	} {
		got := parseFiles(t, map[string]string{
			"loop.conf": "config loop.conf\n", "twice.conf": "config twice.conf\nconfig twice.conf\n",
			"open.conf": "<ca>\n", "empty.conf": "<connection>\n</connection>\n",
		}, args...)
		if len(got.Unknown) == 0 || len(got.Files) > maxFiles {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := ParseOpenVPN([]string{"openvpn"}, "/", nil); err == nil {
		t.Error("no command line is no error")
	}
	got, err := ParseOpenVPN([]string{"openvpn", "a.conf"}, "", nil)
	if err != nil || len(got.Unknown) != 1 {
		t.Errorf("unknown working directory: %+v, %v", got, err)
	}
}

// OpenVPN lists all, but does not try those of the other protocol.
func TestForcedProtocolLeavesOnlyItsRemotes(t *testing.T) {
	got := parseFiles(t, nil, "--proto-force", "tcp", "--remote", "a", "1", "udp", "--remote", "b", "2", "tcp4")
	if diff := cmp.Diff([]Remote{{Host: "b", Port: 2, Proto: "tcp", Family: 4}}, got.Remotes); diff != "" {
		t.Error(diff)
	}
}

// What OpenVPN itself says of a configuration, at verb 4, decides.
func TestRemotesAreThoseThatOpenVPNSays(t *testing.T) {
	bin, err := exec.LookPath("openvpn")
	if err != nil {
		if bin = "/usr/sbin/openvpn"; os.Getenv("CI") == "" {
			if _, err := os.Stat(bin); err != nil {
				t.Skip("openvpn is not installed")
			}
		}
	}
	for name, text := range map[string]string{
		"plain":    "client\nremote a.example\nremote b.example 443\nremote 203.0.113.5 444 tcp\nproto udp4\nport 1300\n",
		"blocks":   "client\n<connection>\nremote 203.0.113.5 1195\n</connection>\nproto tcp4\nport 1300\n<connection>\nremote b.example\nnobind\nsocks-proxy 10.0.0.1\n</connection>\nremote c.example\n",
		"defaults": "client\nproto tcp6-client\nrport 99\n<connection>\nremote 'a b'\n</connection>\n<connection>\nproto udp\nremote \"c\" 5 tcp4\n</connection>\n",
		"bound":    "client\nlport 1234\nremote a.example 99 udp6\nremote b.example 99 tcp\n",
		"http":     "client\nproto tcp\nhttp-proxy 10.0.0.1 8080\nremote a.example\n",
		"socks6":   "client\nproto udp6\nsocks-proxy 10.0.0.1 1081\nremote a.example\n",
		"dropping": "pull\ntls-client\nremote a.example 1195\nuser nobody\nmark 7\nchroot /tmp\ntmp-dir /\npersist-tun\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			// Both only have to be there; they are read much later.
			must(t, os.WriteFile(filepath.Join(dir, "up"), []byte("u\np\n"), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "ca"), nil, 0o600))
			conf := filepath.Join(dir, "c.conf")
			must(t, os.WriteFile(conf, []byte(text+"dev tun9\nca "+dir+"/ca\nauth-user-pass "+dir+"/up\n"), 0o600))
			settings, err := ParseOpenVPN([]string{"openvpn", conf}, dir, os.ReadFile)
			if err != nil || len(settings.Unknown) > 0 {
				t.Fatalf("%v, %v", settings.Unknown, err)
			}
			if diff := cmp.Diff(said(t, bin, conf), summary(settings)); diff != "" {
				t.Errorf("openvpn (-), we (+):\n%s", diff)
			}
		})
	}
}

// said runs openvpn without any network until it has told its parameters.
func said(t *testing.T, bin, conf string) []string {
	t.Helper()
	// A management client that never comes holds it before it opens anything.
	cmd := exec.Command(bin, "--verb", "4", "--config", conf, "--management", filepath.Join(filepath.Dir(conf), "m"), "unix", "--management-hold")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var all strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), "pull = ") {
		n, err := stdout.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v: %s", err, all.String())
		}
	}
	var lines []string
	for line := range strings.Lines(all.String()) {
		_, line, _ = strings.Cut(line, " us=")
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		value = strings.Trim(value, "'")
		switch name {
		case "proto", "remote", "remote_port", "local_port", "socks_proxy_server", "socks_proxy_port", "server", "port",
			"dev", "username", "chroot_dir", "mark", "persist_tun":
			if value = strings.TrimSuffix(value, "-client"); ok && value != "[UNDEF]" && name+value != "mark0" {
				lines = append(lines, name+" "+value)
			}
		}
	}
	return lines
}

func summary(s Settings) []string {
	var lines []string
	add := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "0" {
			lines = append(lines, name+" "+text)
		}
	}
	for _, r := range s.Remotes {
		proto := r.Proto
		if r.Family != 0 {
			proto += fmt.Sprint(r.Family)
		}
		add("proto", proto)
		add("local_port", r.LocalPort)
		add("remote", r.Host)
		add("remote_port", r.Port)
		switch r.Proxy.Kind {
		case "http":
			add("server", r.Proxy.Host)
			add("port", r.Proxy.Port)
		case "socks":
			add("socks_proxy_server", r.Proxy.Host)
			add("socks_proxy_port", r.Proxy.Port)
		}
	}
	add("dev", s.Dev)
	add("persist_tun", map[bool]string{true: "ENABLED", false: "DISABLED"}[s.PersistTun])
	add("username", s.User)
	add("chroot_dir", s.Chroot)
	add("mark", s.Mark)
	return lines
}

func FuzzParseOpenVPN(f *testing.F) {
	f.Add("client\nremote a 1194 udp\n<connection>\nremote b\n</connection>\n<ca>\n</ca>\nconfig c\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := parseFiles(t, map[string]string{"a": text, "c": text}, "a")
		if len(got.Files) > maxFiles {
			t.Errorf("%d files read", len(got.Files))
		}
	})
}

func TestHooksOfOpenVPNAreTheLastThatWereGiven(t *testing.T) {
	got := parseFiles(t, map[string]string{"/etc/a.conf": "script-security 3\nup \"/opt/my\\\\ up.sh one\"\ndown /opt/down\n"}, "--config", "/etc/a.conf", "--down", "/opt/other 'two words'")
	if got.Up != `/opt/my\ up.sh one` || got.Down != "/opt/other 'two words'" || got.Security != 3 || got.Daemon {
		t.Errorf("%q, %q, %d, %v", got.Up, got.Down, got.Security, got.Daemon)
	}
	if words, err := OpenVPNWords(got.Up); err != nil || len(words) != 2 || words[0] != "/opt/my up.sh" {
		t.Errorf("words of %q: %q, %v", got.Up, words, err)
	}
	if got = parseFiles(t, nil, "--daemon", "--up", "x"); !got.Daemon || got.Up != "x" {
		t.Errorf("of the command line: %+v", got)
	}
}
