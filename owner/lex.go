package owner

import (
	"errors"
	"strings"
)

// maxParams is OpenVPN's MAX_PARMS: more words than that on a line are ignored.
const maxParams = 16

// splitLine splits a line of a configuration as OpenVPN's parse_line does
// (src/openvpn/options_parse.c, 2.6): double quotes with backslash, single
// quotes without, a comment only where a word could begin.
func splitLine(line string) ([]string, error) {
	const (
		between = iota
		bare
		double
		single
	)
	var words []string
	var word strings.Builder
	state, backslash := between, false
	end := func() {
		words = append(words, word.String())
		word.Reset()
		state = between
	}
	// The NUL that ends a line in C also ends its last word.
	for _, c := range []byte(line + "\x00") {
		if !backslash && c == '\\' && state != single {
			backslash = true
			continue
		}
		take := false
		switch state {
		case between:
			switch {
			case space(c):
			case c == ';' || c == '#':
				return words, nil
			case !backslash && c == '"':
				state = double
			case !backslash && c == '\'':
				state = single
			default:
				take, state = true, bare
			}
		case bare:
			if !backslash && space(c) {
				end()
			} else {
				take = true
			}
		case double:
			if !backslash && c == '"' {
				end()
			} else {
				take = true
			}
		case single:
			if c == '\'' {
				end()
			} else {
				take = true
			}
		}
		if take && c != 0 {
			if backslash && c != '\\' && c != '"' && !space(c) {
				return nil, errors.New("bad use of a backslash")
			}
			word.WriteByte(c)
		}
		backslash = false
		if len(words) == maxParams {
			return words, nil
		}
	}
	switch state {
	case double, single:
		return nil, errors.New("quotation mark is not closed")
	case bare:
		return nil, errors.New("line ends in a backslash")
	}
	return words, nil
}

func space(c byte) bool {
	return c == 0 || c == ' ' || ('\t' <= c && c <= '\r')
}

// splitArgs groups a command line as OpenVPN's parse_argv does: each --option
// with the words that follow it. One word alone is a configuration file.
func splitArgs(args []string) [][]string {
	if len(args) == 1 && !strings.HasPrefix(args[0], "--") {
		return [][]string{{"config", args[0]}}
	}
	var options [][]string
	for _, arg := range args {
		name, ok := strings.CutPrefix(arg, "--")
		switch {
		case ok:
			options = append(options, []string{name})
		case len(options) > 0:
			last := &options[len(options)-1]
			if len(*last) < maxParams {
				*last = append(*last, arg)
			}
		}
	}
	return options
}

// OpenVPNWords splits a line of OpenVPN's configuration, or a command in it,
// into words.
func OpenVPNWords(line string) ([]string, error) { return splitLine(line) }
