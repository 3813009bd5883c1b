package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/hook/wiring"
	"github.com/vpnguard/vpnguard/owner"
)

// openvpnLines are the lines for a configuration of OpenVPN, and the scripts
// that call what it calls now.
func openvpnLines(config, exe, name string) (string, []wiring.Piece, error) {
	now, err := openvpnHooks(config)
	if err != nil {
		return "", nil, err
	}
	var pieces []wiring.Piece
	command := map[string]string{}
	for _, verb := range []string{"up", "down"} {
		command[verb] = exe + " " + verb
		if now[verb] == nil {
			continue
		}
		file := chainFile(name, verb)
		if err := wiring.CheckProgram(file); err != nil {
			return "", nil, err
		}
		pieces = append(pieces, wiring.Piece{Path: file, Mode: 0o755, Text: wiring.Chain(exe, verb, now[verb])})
		command[verb] = file
	}
	more := now["ipchange"] == nil && now["route-up"] == nil
	return wiring.OpenVPNLines(command["up"], command["down"], exe, more), pieces, nil
}

// openvpnHooks are the words of the commands that a configuration calls. Of
// several the last one counts, as OpenVPN has it.
func openvpnHooks(config string) (map[string][]string, error) {
	hooks := map[string][]string{}
	inline := ""
	for line := range strings.Lines(config) {
		line = strings.TrimRight(line, "\r\n")
		if inline != "" {
			if strings.TrimSpace(line) == "</"+inline+">" {
				inline = ""
			}
			continue
		}
		words, err := owner.OpenVPNWords(line)
		if err != nil {
			return nil, fmt.Errorf("line %.80q: %w", line, err)
		}
		switch {
		case len(words) == 0:
		case strings.HasPrefix(words[0], "<") && strings.HasSuffix(words[0], ">"):
			inline = strings.Trim(words[0], "<>")
		case words[0] == "config":
			return nil, errors.New("it includes another file, whose hooks cannot be seen from here")
		case words[0] == "up" || words[0] == "down" || words[0] == "ipchange" || words[0] == "route-up":
			if len(words) < 2 {
				return nil, fmt.Errorf("line %.80q: no command", line)
			}
			command, err := owner.OpenVPNWords(words[1])
			if err != nil || len(command) == 0 {
				return nil, fmt.Errorf("line %.80q: not a command", line)
			}
			hooks[words[0]] = command
		}
	}
	return hooks, nil
}

// wgquickLines are the lines for a configuration of wg-quick: the mark is its own
// or wg-quick's usual one. Endpoints are read from the device when it is up.
func wgquickLines(config, exe string) (string, error) {
	const usual = "51820" // what wg-quick takes for a default route
	ends, mark, section := 0, "", ""
	for line := range strings.Lines(config) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		switch {
		case strings.HasPrefix(line, "["):
			section = strings.ToLower(line)
		case section == "[peer]" && key == "endpoint":
			if _, err := endpoint.ParseOrName(value + "/udp"); err != nil {
				return "", err
			}
			ends++
		case section == "[interface]" && key == "fwmark" && value != "off" && value != "0":
			mark = value
		}
	}
	if ends == 0 {
		return "", errors.New("no peer has an Endpoint: nobody to connect to")
	}
	if strings.Trim(mark, "0123456789abcdefABCDEFxX") != "" {
		return "", fmt.Errorf("FwMark %.20q is no number", mark)
	}
	if mark == "" {
		return wiring.WGQuickLines(exe, usual), nil
	}
	return wiring.WGQuickLines(exe, ""), nil
}
