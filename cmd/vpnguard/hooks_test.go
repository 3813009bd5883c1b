package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/hook/wiring"
)

// hooks runs `vpnguard hooks` on a root directory.
func hooks(t *testing.T, root string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, message bytes.Buffer
	code = run(context.Background(), world{args: append([]string{"hooks", "--root", root}, args...), stdout: &out, stderr: &message})
	return out.String(), message.String(), code
}

// files are a tree's names, modes and contents.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			if text, err = os.Readlink(path); err != nil {
				return err
			}
		}
		all[strings.TrimPrefix(path, root)] = info.Mode().String() + " " + text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func put(t *testing.T, root, name, text string, mode fs.FileMode) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

const (
	ovpn = "/etc/openvpn/client/work.conf"
	wg   = "/etc/wireguard/wg0.conf"

	ovpnText = "client\nremote 203.0.113.10\n<ca>\nup not-a-hook\n</ca>\n"
	wgText   = "[Interface] \nPrivateKey = secret\nAddress = 192.0.2.2/28 # mine\n[Peer]\nEndpoint = vpn.example.net:51820\nAllowedIPs = 0.0.0.0/0\n"
)

// installable are the clients whose wiring can be installed, with the
// configuration that each needs.
var installable = map[string]string{
	"openvpn": ovpn, "wg-quick": wg, "openconnect": "", "vpnc": "", "networkmanager": "", "pppd": "", "networkd-dispatcher": "",
}

func withConfigs(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	put(t, root, ovpn, ovpnText, 0o640)
	put(t, root, wg, wgText, 0o600)
	put(t, root, "/etc/ppp/ip-up.d/0000usepeerdns", "#!/bin/sh\n", 0o755)
	put(t, root, "/etc/ppp/ip-pre-up.d/.keep", "", 0o644)
	put(t, root, "/etc/ppp/ip-down.d/x", "", 0o755)
	put(t, root, "/etc/ppp/ipv6-up.d/x", "", 0o755)
	put(t, root, "/etc/ppp/ipv6-down.d/x", "", 0o755)
	for _, d := range []string{"", "pre-up.d", "pre-down.d"} {
		put(t, root, "/etc/NetworkManager/dispatcher.d/"+d+"/01-other", "#!/bin/sh\n", 0o755)
	}
	for _, d := range []string{"routable", "off", "no-carrier"} {
		put(t, root, "/etc/networkd-dispatcher/"+d+".d/other", "#!/bin/sh\n", 0o755)
	}
	return root
}

func install(client, file string) []string {
	args := []string{"install", client}
	if file != "" {
		args = append(args, file)
	}
	return args
}

func remove(client, file string) []string {
	args := install(client, file)
	args[0] = "remove"
	return args
}

func TestInstalledHooksAreWhatShowPrintsAndGoAgain(t *testing.T) {
	for client, file := range installable {
		t.Run(client, func(t *testing.T) {
			root := withConfigs(t)
			before := files(t, root)
			if _, message, code := hooks(t, root, install(client, file)...); code != 0 {
				t.Fatalf("install exits %d: %s", code, message)
			}
			installed := files(t, root)
			if cmp.Equal(before, installed) {
				t.Fatal("nothing was written")
			}
			shown, _, code := hooks(t, root, "show", client)
			if code != 0 {
				t.Fatalf("show exits %d", code)
			}
			if file == "" {
				checkShown(t, root, shown, before, installed)
			}
			if _, message, code := hooks(t, root, install(client, file)...); code != 0 || !strings.Contains(message, "nothing to do") {
				t.Errorf("install again exits %d: %s", code, message)
			}
			if diff := cmp.Diff(installed, files(t, root)); diff != "" {
				t.Errorf("install again changes:\n%s", diff)
			}
			if _, message, code := hooks(t, root, remove(client, file)...); code != 0 {
				t.Fatalf("remove exits %d: %s", code, message)
			}
			if diff := cmp.Diff(before, files(t, root)); diff != "" {
				t.Errorf("not as it was before (-before +after):\n%s", diff)
			}
			if _, message, code := hooks(t, root, remove(client, file)...); code != 0 || !strings.Contains(message, "nothing to do") {
				t.Errorf("remove again exits %d: %s", code, message)
			}
		})
	}
}

// checkShown demands that each new file is shown, with its mode and each of its
// lines but the signature.
func checkShown(t *testing.T, root, shown string, before, after map[string]string) {
	t.Helper()
	seen := 0
	for name, text := range after {
		if _, old := before[name]; old || strings.HasPrefix(text, "d") {
			continue
		}
		seen++
		if !strings.Contains(shown, "# "+name+" (mode ") {
			t.Errorf("%s is not shown:\n%s", name, shown)
		}
		_, text, _ = strings.Cut(text, " ")
		if !wiring.Signed(text) {
			t.Errorf("%s is not signed:\n%s", name, text)
		}
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "# written by") && !strings.Contains(shown, line) {
				t.Errorf("%s: line %q is not shown", name, line)
			}
		}
	}
	if seen == 0 {
		t.Error("no file is new")
	}
}

func TestExistingUpAndDownAreChained(t *testing.T) {
	for name, tt := range map[string]struct{ config, up, down, more string }{
		"both": {"up /etc/openvpn/update-resolv-conf\ndown \"/etc/openvpn/x 'two words' \\\"it's\\\"\"\nroute-up /bin/true\n",
			"EXE up \"$@\" || exit 1\nexec '/etc/openvpn/update-resolv-conf' \"$@\"\n",
			"'/etc/openvpn/x' 'two words' 'it'\\''s' \"$@\"\nEXE down \"$@\" || :\n", ""},
		"the last of two counts":     {"up /bin/one\nup /bin/two\n", "EXE up \"$@\" || exit 1\nexec '/bin/two' \"$@\"\n", "", "ipchange"},
		"comments and inline blocks": {"# up /bin/one\n;up /bin/two\n<key>\nup /bin/three\n</key>\n", "", "", "ipchange"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put(t, root, ovpn, tt.config, 0o600)
			before := files(t, root)
			for range 2 { // our own hooks are not chained to themselves
				if _, message, code := hooks(t, root, install("openvpn", ovpn)...); code != 0 {
					t.Fatalf("exits %d: %s", code, message)
				}
			}
			config, err := os.ReadFile(root + ovpn)
			if err != nil {
				t.Fatal(err)
			}
			if rest, found, err := wiring.Extract(string(config)); err != nil || !found || rest != tt.config {
				t.Errorf("the user's lines changed: %q, %v, %v", rest, found, err)
			}
			for verb, want := range map[string]string{"up": tt.up, "down": tt.down} {
				text, err := os.ReadFile(root + "/etc/vpnguard/hooks/work-" + verb)
				if (want == "") != (err != nil) {
					t.Errorf("%s: %q, %v", verb, text, err)
				}
				exe, _ := os.Executable()
				if !strings.HasSuffix(string(text), strings.ReplaceAll(want, "EXE", exe)) {
					t.Errorf("%s: %q, want %q", verb, text, want)
				}
				if called := strings.Contains(string(config), "\n"+verb+` "/etc/vpnguard/hooks/work-`+verb+"\"\n"); called != (want != "") {
					t.Errorf("%s: the script is called: %v\n%s", verb, called, config)
				}
			}
			if got := strings.Contains(string(config), "\nipchange "); got != (tt.more != "") {
				t.Errorf("ipchange is wired: %v", got)
			}
			if _, message, code := hooks(t, root, remove("openvpn", ovpn)...); code != 0 {
				t.Fatalf("remove exits %d: %s", code, message)
			}
			if diff := cmp.Diff(before, files(t, root)); diff != "" {
				t.Errorf("not as it was before:\n%s", diff)
			}
		})
	}
}

func TestHooksRefuseWhatTheyDidNotWrite(t *testing.T) {
	own := func(path, text string) func(*testing.T, string) {
		return func(t *testing.T, root string) { put(t, root, path, text, 0o755) }
	}
	installed := func(client, file, path, old, text string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			if _, message, code := hooks(t, root, install(client, file)...); code != 0 {
				t.Fatalf("install exits %d: %s", code, message)
			}
			data, err := os.ReadFile(root + path)
			if err != nil || !strings.Contains(string(data), old) {
				t.Fatalf("%s: %q, %v", path, data, err)
			}
			put(t, root, path, strings.Replace(string(data), old, text, 1), 0o755)
		}
	}
	for _, tt := range []struct {
		name    string
		prepare func(*testing.T, string)
		args    []string
		says    string
	}{
		{"a file of another", own("/etc/ppp/ip-up.d/50vpnguard", "#!/bin/sh\necho\n"), install("pppd", ""), `"/etc/ppp/ip-up.d/50vpnguard": not as vpnguard wrote it`},
		{"an empty file", own("/etc/vpnc/reconnect.d/vpnguard", ""), install("openconnect", ""), "not as vpnguard wrote it"},
		{"remove a file of another", own("/etc/ppp/ip-down.d/50vpnguard", "#!/bin/sh\n"), remove("pppd", ""), "not as vpnguard wrote it"},
		{"a file that was edited", installed("vpnc", "", "/etc/vpnc/connect.d/vpnguard", "up", "up --profile split"), install("openconnect", ""), "not as vpnguard wrote it"},
		{"remove a file that was edited", installed("vpnc", "", "/etc/vpnc/connect.d/vpnguard", "exit 1", "exit 2"), remove("vpnc", ""), "not as vpnguard wrote it"},
		{"a block that was edited", installed("openvpn", ovpn, ovpn, "script-security 2", "script-security 3"), install("openvpn", ovpn), "the lines between"},
		{"remove a block that was edited", installed("wg-quick", wg, wg, "PostUp", "PreUp"), remove("wg-quick", wg), "the lines between"},
		{"a block without its end", installed("openvpn", ovpn, ovpn, "# vpnguard hooks end\n", ""), remove("openvpn", ovpn), "without its end"},
		{"a block without its beginning", installed("openvpn", ovpn, ovpn, "# vpnguard hooks begin", "# begin"), remove("openvpn", ovpn), "without its beginning"},
		{"a chain that was edited", func(t *testing.T, root string) {
			put(t, root, ovpn, "up /bin/x\n", 0o600)
			installed("openvpn", ovpn, "/etc/vpnguard/hooks/work-up", "/bin/x", "/bin/y")(t, root)
		}, remove("openvpn", ovpn), "not as vpnguard wrote it"},
		{"a link", func(t *testing.T, root string) {
			if err := os.Symlink("work.conf", root+"/etc/openvpn/client/link.conf"); err != nil {
				t.Fatal(err)
			}
		}, install("openvpn", "/etc/openvpn/client/link.conf"), "not a regular file"},
		{"a link out of the root", func(t *testing.T, root string) {
			if err := os.Symlink(t.TempDir(), root+"/etc/vpnc"); err != nil {
				t.Fatal(err)
			}
		}, install("openconnect", ""), "path escapes"},
		{"no such file", func(*testing.T, string) {}, install("openvpn", "/etc/openvpn/client/none.conf"), "no such file"},
		{"no file", func(*testing.T, string) {}, install("openvpn", ""), "no configuration is named"},
		{"a relative file", func(*testing.T, string) {}, install("openvpn", "work.conf"), "not an absolute name"},
		{"a file that needs none", func(*testing.T, string) {}, install("pppd", ovpn), "can only be edited by hand"},
		{"a client whose files are nested", func(*testing.T, string) {}, install("strongswan", ""), "can only be edited by hand"},
		{"an unknown client", func(*testing.T, string) {}, install("nosuch", ""), `client "nosuch" is none of ifupdown, `},
		{"an included file", own(ovpn, "config other.conf\n"), install("openvpn", ovpn), "includes another file"},
		{"an open quote", own(ovpn, "up \"x\n"), install("openvpn", ovpn), `line "up \"x"`},
		{"a server of WireGuard", own(wg, "[Interface]\n[Peer]\nAllowedIPs = 192.0.2.0/24\n"), install("wg-quick", wg), "no peer has an Endpoint"},
		{"a hostile endpoint", own(wg, "[Interface]\n[Peer]\nEndpoint = $(id):1\n"), install("wg-quick", wg), "holds byte 0x24"},
		{"a hostile mark", own(wg, "[Interface]\nFwMark = 1;id\n[Peer]\nEndpoint = 203.0.113.5:1\n"), install("wg-quick", wg), "is no number"},
		{"no interface", own(wg, "[Peer]\nEndpoint = 203.0.113.5:1\n"), install("wg-quick", wg), "no line [Interface]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := withConfigs(t)
			tt.prepare(t, root)
			before := files(t, root)
			_, message, code := hooks(t, root, tt.args...)
			if code == 0 || !strings.Contains(message, tt.says) {
				t.Errorf("exits %d, want a failure that says %q: %s", code, tt.says, message)
			}
			if diff := cmp.Diff(before, files(t, root)); diff != "" {
				t.Errorf("something changed:\n%s", diff)
			}
		})
	}
}

// The third of five files cannot be written: the first two go again.
func TestFailureInTheMiddleIsUndone(t *testing.T) {
	root := withConfigs(t)
	put(t, root, "/etc/vpnc/reconnect.d", "not a directory", 0o644)
	before := files(t, root)
	_, message, code := hooks(t, root, install("openconnect", "")...)
	if code == 0 || !strings.Contains(message, "reconnect.d") {
		t.Errorf("exits %d: %s", code, message)
	}
	if diff := cmp.Diff(before, files(t, root)); diff != "" {
		t.Errorf("something stays:\n%s", diff)
	}
}

// What is installed for another path of the program is renewed.
func TestInstallRenewsAnotherProgramsPath(t *testing.T) {
	root := t.TempDir()
	wired, err := wiring.For("openconnect", "/old/vpnguard")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range wired.Pieces {
		put(t, root, p.Path, wiring.Sign(p.Text), 0o644)
	}
	if _, message, code := hooks(t, root, install("openconnect", "")...); code != 0 || strings.Count(message, "changed ") != len(wired.Pieces) {
		t.Errorf("exits %d: %s", code, message)
	}
	for name, text := range files(t, root) {
		if strings.Contains(text, "/old/") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestAMarkThatIsThereIsKept(t *testing.T) {
	root := t.TempDir()
	put(t, root, wg, "[interface]\nFwMark=0x99 # mine\n[Peer]\nEndpoint = 203.0.113.5:51820\n[Peer]\nEndpoint=[2001:db8::5]:7\n", 0o600)
	if _, message, code := hooks(t, root, install("wg-quick", wg)...); code != 0 {
		t.Fatalf("exits %d: %s", code, message)
	}
	text := files(t, root)[wg]
	if !strings.Contains(text, "[interface]\n# vpnguard hooks begin") ||
		!regexp.MustCompile(`(?m)^PostUp = \S+ up %i\nPostDown = \S+ down %i$`).MatchString(text) || strings.Count(text, "FwMark") != 1 || !strings.HasPrefix(text, "-rw-------") {
		t.Errorf("%s", text)
	}
}
