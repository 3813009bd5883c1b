package survey

import (
	"net/netip"
	"path"
	"slices"
	"strings"
)

// connectivity reads NetworkManager's configuration in its order: a file in
// /etc hides one of the same name in /usr/lib, and the last setting wins.
func (t *tree) connectivity() Connectivity {
	files := map[string]string{}
	for _, dir := range []string{"/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"} {
		for _, f := range t.glob(dir + "/*.conf") {
			files[path.Base(f)] = f
		}
	}
	var names []string
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	list := []string{"/etc/NetworkManager/NetworkManager.conf"}
	for _, n := range names {
		list = append(list, files[n])
	}
	var c Connectivity
	enabled := true
	for _, f := range list {
		t.settings(f, func(section, key, value string) {
			switch {
			case section != "connectivity":
			case key == "uri":
				c = Connectivity{URI: value, File: f}
			case key == "enabled":
				enabled = value != "false" && value != "no" && value != "0" && value != "off"
			}
		})
	}
	if !enabled || c.URI == "" {
		return Connectivity{}
	}
	return c
}

// settings reads a file of sections with lines key=value.
func (t *tree) settings(name string, each func(section, key, value string)) {
	section := ""
	for line := range strings.Lines(t.text(name)) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(s, "]")
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			each(section, strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
}

// timeServers are those that are named by address.
func (t *tree) timeServers() []TimeServer {
	var all []TimeServer
	add := func(file, word string) {
		if a, err := netip.ParseAddr(word); err == nil {
			all = append(all, TimeServer{a.Unmap(), file})
		}
	}
	for _, f := range append([]string{"/etc/systemd/timesyncd.conf"}, t.glob("/etc/systemd/timesyncd.conf.d/*.conf")...) {
		t.settings(f, func(section, key, value string) {
			if section == "Time" && (key == "NTP" || key == "FallbackNTP") {
				for _, w := range strings.Fields(value) {
					add(f, w)
				}
			}
		})
	}
	for _, f := range append([]string{"/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/ntp.conf"}, t.glob("/etc/chrony/sources.d/*.sources")...) {
		for line := range strings.Lines(t.text(f)) {
			if w := strings.Fields(line); len(w) > 1 && slices.Contains([]string{"server", "pool", "peer"}, w[0]) {
				add(f, w[1])
			}
		}
	}
	return all
}
