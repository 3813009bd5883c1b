package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxSize bounds a file: a hundred times what a real one needs.
const maxSize = 64 << 10

// Parse reads a configuration. What it does not set is as in [Default]. name
// is the file's, for errors, each of which begins with name:line and names the
// key. A key that is not known is an error. On error the Config is zero.
func Parse(name string, data []byte) (Config, error) {
	if len(data) > maxSize {
		return Config{}, fmt.Errorf("%s: larger than %d bytes", name, maxSize)
	}
	var file map[string]toml.Primitive
	meta, err := toml.Decode(string(data), &file)
	if err != nil {
		line, what := locate(err)
		return Config{}, fmt.Errorf("%s:%d: %s", name, line, what)
	}
	c := Default()
	seen := map[string]bool{}
	for _, key := range meta.Keys() {
		top := key[0]
		if seen[top] {
			continue
		}
		seen[top] = true
		set := keys[top]
		if set == nil {
			full, line := firstIn(meta, file[top], top)
			return Config{}, fmt.Errorf("%s:%d: unknown key %q", name, line, full)
		}
		s := setter{config: &c, set: set}
		if meta.PrimitiveDecode(file[top], &s) != nil {
			_, line := firstIn(meta, file[top], top)
			if strings.HasPrefix(s.err.Error(), top+" ") {
				return Config{}, fmt.Errorf("%s:%d: %w", name, line, s.err)
			}
			return Config{}, fmt.Errorf("%s:%d: %s: %w", name, line, top, s.err)
		}
	}
	return c, nil
}

// locate returns where and what the TOML library complains of.
func locate(err error) (line int, what string) {
	var p toml.ParseError
	if errors.As(err, &p) {
		what = strings.TrimSuffix(p.Message, ".")
		return p.Position.Line, strings.ToLower(what[:min(1, len(what))]) + what[min(1, len(what)):]
	}
	return 1, err.Error()
}

// setter receives a value of any TOML type. The library knows the line only
// of what a type refuses itself.
type setter struct {
	config *Config
	set    func(*Config, any) error
	err    error
}

// UnmarshalTOML implements [toml.Unmarshaler].
func (s *setter) UnmarshalTOML(value any) error {
	s.err = s.set(s.config, value)
	return s.err
}

// firstIn returns the first key in the value of top that is no table, which is
// top itself unless a table was written, and its line.
func firstIn(meta toml.MetaData, value toml.Primitive, top string) (key string, line int) {
	full := toml.Key{top}
	for _, k := range meta.Keys() {
		if k[0] == top {
			full = k
			if meta.Type(k...) != "Hash" {
				break
			}
		}
	}
	for i := range full {
		refuse := setter{set: func(*Config, any) error { return errors.New("refused") }}
		// Of a table that dotted keys make, and of what is in an array of
		// tables, the library does not know the line.
		if at, _ := locate(meta.PrimitiveDecode(value, &refuse)); at > 0 {
			line = at
		}
		var inner map[string]toml.Primitive
		if i+1 == len(full) || meta.PrimitiveDecode(value, &inner) != nil {
			break
		}
		value = inner[full[i+1]]
	}
	return full.String(), max(line, 1)
}
