package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// file is a policy as it is written.
type file struct {
	Profile     string   `toml:"profile"`
	Required    []string `toml:"required"`
	Threshold   string   `toml:"threshold"`
	MinControls *float64 `toml:"min_controls"`
	OraclesFail bool     `toml:"oracles_fail"`
	Ratchet     bool     `toml:"ratchet"`
	Flows       []struct {
		Name   string `toml:"name"`
		Reason string `toml:"reason"`
		To     string `toml:"to"`
		Proto  string `toml:"proto"`
		Port   int    `toml:"port"`
	} `toml:"flow"`
	Windows []struct {
		ID      string `toml:"id"`
		Variant string `toml:"variant"`
		Reason  string `toml:"reason"`
		Frames  int    `toml:"frames"`
	} `toml:"window"`
	Waivers []struct {
		ID       string    `toml:"id"`
		Variant  string    `toml:"variant"`
		Reason   string    `toml:"reason"`
		Owner    string    `toml:"owner"`
		Expires  time.Time `toml:"expires"`
		Evidence string    `toml:"evidence"`
	} `toml:"waiver"`
}

// maxSize bounds a file: far more than a list of all ids with reasons needs.
const maxSize = 256 << 10

// Parse reads a policy file; an empty one is the zero policy. name is the
// file's, for errors. A key that is not known is an error, and so is an
// acceptance without its reason.
func Parse(name string, data []byte) (Policy, error) {
	if len(data) > maxSize {
		return Policy{}, fmt.Errorf("%s: larger than %d bytes", name, maxSize)
	}
	var f file
	meta, err := toml.Decode(string(data), &f)
	if err != nil {
		var p toml.ParseError
		if errors.As(err, &p) {
			return Policy{}, fmt.Errorf("%s:%d: %s", name, p.Position.Line, p.Message)
		}
		return Policy{}, fmt.Errorf("%s: %w", name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Policy{}, fmt.Errorf("%s: unknown key %q", name, unknown[0].String())
	}
	p, err := f.policy()
	if err != nil {
		return Policy{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (f file) policy() (Policy, error) {
	p := Policy{Profile: f.Profile, Required: f.Required, OraclesFail: f.OraclesFail, Ratchet: f.Ratchet}
	var err error
	if p.Threshold, err = severity(f.Threshold); err != nil {
		return Policy{}, err
	}
	if f.MinControls != nil {
		p.MinControls = *f.MinControls
		if math.IsNaN(p.MinControls) || p.MinControls <= 0 || p.MinControls > 1 {
			return Policy{}, fmt.Errorf("min_controls: %v is not above 0 and at most 1", p.MinControls)
		}
	}
	for i, w := range f.Flows {
		flow := Flow{Name: w.Name, Reason: w.Reason}
		at := fmt.Sprintf("flow %d (%q)", i+1, w.Name)
		if err := need(at, "name", w.Name, "reason", w.Reason); err != nil {
			return Policy{}, err
		}
		if flow.To, err = prefix(w.To); err != nil {
			return Policy{}, fmt.Errorf("%s: to: %w", at, err)
		}
		if flow.Proto, err = protocol(w.Proto); err != nil {
			return Policy{}, fmt.Errorf("%s: proto: %w", at, err)
		}
		if w.Port < 0 || w.Port > 65535 || w.Port > 0 && flow.Proto != 6 && flow.Proto != 17 {
			return Policy{}, fmt.Errorf("%s: port: %d is no port of %q", at, w.Port, w.Proto)
		}
		flow.Port = uint16(w.Port)
		p.Flows = append(p.Flows, flow)
	}
	for i, w := range f.Windows {
		at := fmt.Sprintf("window %d (%q)", i+1, w.ID)
		if err := need(at, "id", w.ID, "reason", w.Reason); err != nil {
			return Policy{}, err
		}
		if w.Frames < 1 {
			return Policy{}, fmt.Errorf("%s: frames: %d permits nothing", at, w.Frames)
		}
		p.Windows = append(p.Windows, Window{ID: w.ID, Variant: w.Variant, Reason: w.Reason, Frames: w.Frames})
	}
	for i, w := range f.Waivers {
		at := fmt.Sprintf("waiver %d (%q)", i+1, w.ID)
		if err := need(at, "id", w.ID, "reason", w.Reason, "owner", w.Owner); err != nil {
			return Policy{}, err
		}
		if w.Expires.IsZero() {
			return Policy{}, fmt.Errorf("%s: expires is missing: a waiver ends on a day, such as 2030-01-31", at)
		}
		y, m, d := w.Expires.Date()
		p.Waivers = append(p.Waivers, Waiver{ID: w.ID, Variant: w.Variant, Reason: w.Reason, Owner: w.Owner,
			Expires: time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC), Evidence: w.Evidence})
	}
	return p, nil
}

// need wants pairs of a key and a value that says something.
func need(at string, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) == "" {
			return fmt.Errorf("%s: %s is missing", at, pairs[i])
		}
	}
	return nil
}

func severity(text string) (evidence.Severity, error) {
	switch s := evidence.Severity(text); s {
	case "", evidence.Critical, evidence.High, evidence.Medium, evidence.Low, evidence.Info:
		return s, nil
	}
	return "", fmt.Errorf("threshold: %q is none of critical, high, medium, low, info", text)
}

// prefix takes an address, too. Everything is no destination that one declares.
func prefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is no address or prefix", text)
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("%q is everything", text)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits behind the prefix; %q is meant", text, p.Masked())
	}
	return p, nil
}

func protocol(text string) (uint8, error) {
	switch text {
	case "":
		return 0, nil
	case "icmp":
		return 1, nil
	case "igmp":
		return 2, nil
	case "tcp":
		return 6, nil
	case "udp":
		return 17, nil
	case "icmpv6":
		return 58, nil
	}
	return 0, fmt.Errorf("%q is none of icmp, igmp, tcp, udp, icmpv6", text)
}
