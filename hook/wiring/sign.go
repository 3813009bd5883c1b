package wiring

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A file of our own carries a line that says so, with a sum of the rest: what
// somebody changed since is his, and is neither replaced nor removed.

const (
	signature = "# written by vpnguard hooks, "
	advice    = "; do not edit"
)

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:8])
}

// Sign adds the line, below the one that names a script's shell.
func Sign(text string) string {
	head := ""
	if strings.HasPrefix(text, "#!") {
		i := strings.IndexByte(text, '\n') + 1
		head, text = text[:i], text[i:]
	}
	return head + signature + sum(head+text) + advice + "\n" + text
}

// Signed reports whether the text is as it was signed.
func Signed(text string) bool {
	head, rest := "", text
	if strings.HasPrefix(text, "#!") {
		i := strings.IndexByte(text, '\n') + 1
		head, rest = text[:i], text[i:]
	}
	line, body, ok := strings.Cut(rest, "\n")
	return ok && line == signature+sum(head+body)+advice
}

// A block of ours in a file of the user's stands between two such lines.
const (
	begin   = "# vpnguard hooks begin, "
	unended = ", where the last line had no end"
	end     = "# vpnguard hooks end\n"
)

// Insert puts the text into a file: behind the line that is after, or at the
// end if after is "". A block that is there already must be taken out before.
func Insert(file, after, text string) (string, error) {
	at, how := len(file), ""
	if after != "" {
		at = -1
		for offset := 0; offset < len(file); {
			line, _, _ := strings.Cut(file[offset:], "\n")
			offset = min(offset+len(line)+1, len(file))
			if strings.EqualFold(strings.TrimSpace(line), after) {
				at = offset
				break
			}
		}
		if at < 0 {
			return "", fmt.Errorf("no line %s", after)
		}
	}
	head, tail := file[:at], file[at:]
	if head != "" && !strings.HasSuffix(head, "\n") {
		head, how = head+"\n", unended
	}
	return head + begin + sum(text) + how + "\n" + text + end + tail, nil
}

// Extract takes the block out. found is false if there is none; the error is
// [ErrNotOurs] if it is not as it was put in.
func Extract(file string) (rest string, found bool, err error) {
	at := strings.Index("\n"+file, "\n"+begin)
	if at < 0 {
		if strings.Contains("\n"+file, "\n"+end) {
			return "", true, fmt.Errorf("an end without its beginning: %w", ErrNotOurs)
		}
		return file, false, nil
	}
	line, body, _ := strings.Cut(file[at:], "\n")
	text, tail, ok := strings.Cut(body, end)
	said, how := strings.CutSuffix(strings.TrimPrefix(line, begin), unended)
	switch {
	case !ok:
		return "", true, fmt.Errorf("a beginning without its end: %w", ErrNotOurs)
	case said != sum(text):
		return "", true, fmt.Errorf("the lines between: %w", ErrNotOurs)
	case strings.Contains("\n"+tail, "\n"+begin):
		return "", true, fmt.Errorf("two blocks: %w", ErrNotOurs)
	}
	head := file[:at]
	if how {
		head = strings.TrimSuffix(head, "\n")
	}
	return head + tail, true, nil
}
