package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
)

// maxList bounds each list: every entry becomes a rule.
const maxList = 256

// keys are all keys of the file, exactly as they are written there.
var keys = map[string]func(*Config, any) error{
	"profile":             func(c *Config, v any) error { return text(v, &c.Profile) },
	"owner":               func(c *Config, v any) error { return list(v, &c.Owners, textOf[Owner]) },
	"mark":                func(c *Config, v any) error { return text(v, &c.Mark) },
	"cgroup":              func(c *Config, v any) error { return text(v, &c.Cgroup) },
	"lan":                 func(c *Config, v any) error { return boolean(v, &c.LAN) },
	"allow_in":            func(c *Config, v any) error { return list(v, &c.AllowIn, textOf[Service]) },
	"guests":              func(c *Config, v any) error { return list(v, &c.Guests, guest) },
	"bootstrap_dns":       func(c *Config, v any) error { return list(v, &c.BootstrapDNS, resolver) },
	"fence":               func(c *Config, v any) error { return text(v, &c.Fence) },
	"steer":               func(c *Config, v any) error { return text(v, &c.Steer) },
	"steer_table":         func(c *Config, v any) error { return table(v, &c.SteerTable) },
	"open_on_server_stop": func(c *Config, v any) error { return boolean(v, &c.OpenOnServerStop) },
	"endpoints":           func(c *Config, v any) error { return list(v, &c.Endpoints, textOf[endpoint.OrName]) },
	"dns":                 func(c *Config, v any) error { return resolvers(v, c) },
	"domains":             func(c *Config, v any) error { return list(v, &c.Domains, domain) },
	"resolve_timeout":     func(c *Config, v any) error { return timeout(v, &c.ResolveTimeout) },
}

// scalar returns a value as a command line would have it. A number stands for
// itself, so that owner = [1000] and mark = 1 mean what they seem to.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	default:
		return "", fmt.Errorf("want a string, not %s", kind(v))
	}
}

func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "a number"
	case float64:
		return "a fraction"
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a table"
	default:
		return "a date"
	}
}

func text(v any, to encoding.TextUnmarshaler) error {
	s, err := scalar(v)
	if err != nil {
		return err
	}
	return to.UnmarshalText([]byte(s))
}

func textOf[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](s string) (T, error) {
	var v T
	err := P(&v).UnmarshalText([]byte(s))
	return v, err
}

func boolean(v any, to *bool) error {
	b, ok := v.(bool)
	if !ok {
		return fmt.Errorf("want true or false, not %s", kind(v))
	}
	*to = b
	return nil
}

// list reads a list of scalars; what stands there twice counts once.
func list[T comparable](v any, to *[]T, parse func(string) (T, error)) error {
	items, ok := v.([]any)
	if !ok {
		return fmt.Errorf("want a list, not %s", kind(v))
	}
	if len(items) > maxList {
		return fmt.Errorf("more than %d entries", maxList)
	}
	for _, item := range items {
		s, err := scalar(item)
		if err != nil {
			return err
		}
		parsed, err := parse(s)
		if err != nil {
			return err
		}
		if !slices.Contains(*to, parsed) {
			*to = append(*to, parsed)
		}
	}
	return nil
}

// table reads the number of a routing table. Below are those that the kernel
// names (253 to 255) and that are written with one byte; above, those that follow
// must be numbers too.
func table(v any, to *uint32) error {
	s, err := scalar(v)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < MinSteerTable || n > MaxSteerTable {
		return fmt.Errorf("routing table %q: want a number from %d to %d", s, MinSteerTable, MaxSteerTable)
	}
	*to = uint32(n)
	return nil
}

func guest(s string) (endpoint.IfName, error) {
	if s == "lo" {
		return "", errors.New(`interface name "lo": loopback is no guest`)
	}
	return endpoint.ParseIfName(s)
}

func resolver(s string) (netip.Addr, error) {
	addr, err := endpoint.ParseAddr(s)
	if err != nil {
		return addr, fmt.Errorf("resolver %q: %w", s, err)
	}
	return addr, nil
}

// resolvers reads "dns": a list is who is asked, a word is how they are set.
func resolvers(v any, c *Config) error {
	if _, ok := v.(string); ok {
		return text(v, &c.Naming)
	}
	return list(v, &c.DNS, resolver)
}

func domain(s string) (string, error) {
	plain, route := strings.CutPrefix(s, "~")
	name, err := endpoint.ParseName(plain)
	if err != nil {
		return "", fmt.Errorf("domain %q: %w", s, err)
	}
	if route {
		name = "~" + name
	}
	return name, nil
}

func timeout(v any, to *time.Duration) error {
	s, err := scalar(v)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration %q: want one like 3s", s)
	}
	if d < MinResolveTimeout || d > MaxResolveTimeout {
		return fmt.Errorf("duration %q: want %v to %v", s, MinResolveTimeout, MaxResolveTimeout)
	}
	*to = d
	return nil
}
