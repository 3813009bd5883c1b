package wgconf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// maxLabel is the most characters of a peer's label.
const maxLabel = 64

// CheckLabel refuses a label that is not one line of print.
func CheckLabel(label string) error {
	switch {
	case len(label) > maxLabel:
		return fmt.Errorf("a peer's label has at most %d bytes", maxLabel)
	case label != strings.TrimSpace(label) || strings.ContainsFunc(label, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }):
		return errors.New("a peer's label is one line without blanks at its ends")
	case keyLike.MatchString(label):
		return errors.New("a peer's label is no place for a key")
	}
	return nil
}

// Append adds a peer's section to the end of a file, with its label ("": none)
// as a comment above. Every byte of data stays.
func Append(data []byte, label string, p Peer) []byte {
	var b bytes.Buffer
	b.WriteString("\n")
	if label != "" {
		b.WriteString("# " + label + "\n")
	}
	p.format(&b)
	section, end := b.Bytes(), "\n"
	if bytes.Contains(data, []byte("\r\n")) {
		section, end = bytes.ReplaceAll(section, []byte("\n"), []byte("\r\n")), "\r\n"
	}
	out := slices.Clone(data)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, end...)
	}
	return append(out, section...)
}

// Cut takes a peer out of a file that holds it: its section up to the last
// setting, the comment and the blank line right above. Every other byte stays;
// after [Append], it gives back what was.
func Cut(data []byte, p Peer) []byte {
	lines := bytes.SplitAfter(data, []byte("\n"))
	first := p.Line - 1
	last := first
	for i := first + 1; i < len(lines) && kindOf(lines[i]) != aHeader; i++ {
		if kindOf(lines[i]) == aSetting {
			last = i
		}
	}
	if first > 0 && kindOf(lines[first-1]) == aComment {
		first--
	}
	if first > 0 && kindOf(lines[first-1]) == aBlank {
		first--
	}
	return bytes.Join(slices.Delete(lines, first, last+1), nil)
}

// Label returns the comment right above a peer's section; "": there is none.
func Label(data []byte, p Peer) string {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if p.Line < 2 || kindOf(lines[p.Line-2]) != aComment {
		return ""
	}
	return strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(string(lines[p.Line-2])), "#"))
}

type kind uint8

const (
	aBlank kind = iota
	aComment
	aHeader
	aSetting
)

func kindOf(line []byte) kind {
	line = bytes.TrimSpace(line)
	switch {
	case len(line) == 0:
		return aBlank
	case line[0] == '#':
		return aComment
	case line[0] == '[':
		return aHeader
	}
	return aSetting
}

// ErrFull is returned by [Free] where no address is left.
var ErrFull = errors.New("every address is taken")

// Free finds the lowest address of an interface's network that nobody has:
// neither the interface nor a peer by an allowed prefix of that length or
// longer. Of IPv4 the first and the last are left out, for they mean the
// network and everybody in it; of IPv6 the first, which means its routers.
func Free(own netip.Prefix, taken []netip.Prefix) (netip.Addr, error) {
	network := own.Masked()
	type span struct{ first, last netip.Addr }
	spans := []span{{own.Addr(), own.Addr()}}
	if network.Bits() < own.Addr().BitLen()-1 {
		spans = append(spans, span{network.Addr(), network.Addr()})
		if own.Addr().Is4() {
			spans = append(spans, span{last(network), last(network)})
		}
	}
	for _, t := range taken {
		if t.Bits() >= network.Bits() && network.Contains(t.Addr()) {
			spans = append(spans, span{t.Masked().Addr(), last(t.Masked())})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.first.Compare(b.first), a.last.Compare(b.last)) })
	free := network.Addr()
	for _, s := range spans {
		if free.Less(s.first) {
			break
		}
		if next := s.last.Next(); free.Compare(s.last) <= 0 {
			free = next // not valid after the highest address there is
		}
		if !network.Contains(free) {
			return netip.Addr{}, fmt.Errorf("find an address in %s: %w", network, ErrFull)
		}
	}
	return free, nil
}

// last is the highest address of a masked prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Dropped is a setting that was made a comment.
type Dropped struct {
	Name string
	Line int
}

// Drop makes comments of the settings with these names, in a file that [Parse]
// took. Every other byte stays.
func Drop(data []byte, names ...string) ([]byte, []Dropped) {
	var out []byte
	var dropped []Dropped
	n := 0
	for line := range bytes.Lines(data) {
		n++
		name, _, _ := strings.Cut(string(line), "=")
		name = strings.Trim(name, " \t")
		if i := slices.IndexFunc(names, func(s string) bool { return strings.EqualFold(s, name) }); i >= 0 {
			dropped = append(dropped, Dropped{names[i], n})
			out = append(out, "# "...)
		}
		out = append(out, line...)
	}
	return out, dropped
}
