package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Mark is a firewall mark and the bits of it that count. The zero value is no
// mark.
type Mark struct {
	Value uint32 // within Mask, never 0
	Mask  uint32 // never 0
}

// String returns "0x1/0xff", "0x1" for a full mask, "" for the zero value.
func (m Mark) String() string {
	switch m.Mask {
	case 0:
		return ""
	case ^uint32(0):
		return fmt.Sprintf("%#x", m.Value)
	default:
		return fmt.Sprintf("%#x/%#x", m.Value, m.Mask)
	}
}

// UnmarshalText reads value[/mask], each decimal or with 0x, 32 bits. Without
// a mask all bits count. Value 0 is refused: every packet has it that nobody
// marked. An error leaves m as it was.
func (m *Mark) UnmarshalText(text []byte) error {
	value, mask, masked := strings.Cut(string(text), "/")
	parsed := Mark{Mask: ^uint32(0)}
	var err error
	if parsed.Value, err = parseBits(value); err == nil && masked {
		parsed.Mask, err = parseBits(mask)
	}
	switch {
	case err != nil:
	case parsed.Mask == 0:
		err = errors.New("mask 0 compares nothing")
	case parsed.Value == 0:
		err = errors.New("value 0 is that of unmarked packets")
	case parsed.Value&^parsed.Mask != 0:
		err = errors.New("value has bits outside the mask")
	}
	if err != nil {
		return fmt.Errorf("mark %q: %w", text, err)
	}
	*m = parsed
	return nil
}

func parseBits(s string) (uint32, error) {
	digits, base := s, 10
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	// A leading zero is octal to some programs that take marks.
	if err != nil || (base == 10 && len(digits) > 1 && digits[0] == '0') {
		return 0, errors.New("want value or value/mask, each a 32-bit number, decimal or with 0x")
	}
	return uint32(n), nil
}
