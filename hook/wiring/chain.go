package wiring

import (
	"fmt"
	"strings"
)

// Chain is the script that calls vpnguard and a command that the client called
// before, with the arguments that the client adds. At `up` vpnguard comes
// first, so that nothing happens unsealed; at `down` last, and never fails: a
// client whose `down` fails would die instead of coming back.
func Chain(exe, verb string, command []string) string {
	old := shellWords(command) + ` "$@"`
	if verb == "up" {
		return fmt.Sprintf("#!/bin/sh\n%s up \"$@\" || exit 1\nexec %s\n", exe, old)
	}
	return fmt.Sprintf("#!/bin/sh\n%s\n%s down \"$@\" || :\n", old, exe)
}

// shellWords quotes words so that a shell reads them back as they are.
func shellWords(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(quoted, " ")
}
