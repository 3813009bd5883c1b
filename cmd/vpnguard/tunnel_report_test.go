package main

import (
	"strings"
	"testing"
)

func TestLinesAreBounded(t *testing.T) {
	var said []string
	l := &lines{say: func(s string) { said = append(said, s) }}
	for _, part := range []string{"one\ntw", "o\n", strings.Repeat("x", 3*maxLine), "y\nend"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	longest := 0
	for _, s := range said {
		longest = max(longest, len(s))
	}
	if text := strings.Join(said, "|"); !strings.HasPrefix(text, "one|two|xxx") || !strings.HasSuffix(text, "x|y") || longest > maxLine || string(l.rest) != "end" {
		t.Errorf("%d lines, the longest of %d bytes, rest %q", len(said), longest, l.rest)
	}
}
