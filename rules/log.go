package rules

import (
	"fmt"
	"strings"
)

// LogGroup is the nflog group that blocked packets are told to. Groups belong
// to whoever listens first; the low ones are what log daemons listen on by
// default, so this one is far from them: "vg" as a 16-bit number.
const LogGroup uint16 = 'v'<<8 | 'g'

// logPrefix stands before the name of the rule, so that who reads the group
// can tell our rules from others that log to it.
const logPrefix = TableName + " "

// maxLogPrefix is what the kernel keeps of a prefix (NF_LOG_PREFIXLEN),
// without the terminating zero.
const maxLogPrefix = 127

// LogName is the rule's name in its log prefix: its id, but for the character
// that nft takes for a variable.
func (r Rule) LogName() string {
	name := strings.ReplaceAll(r.ID, "$", "_")
	return name[:min(len(name), maxLogPrefix-len(logPrefix))]
}

// LogPrefix is what the kernel puts into each message about a packet.
func (r Rule) LogPrefix() string { return logPrefix + r.LogName() }

// Logs reports whether the rule tells of the packets that it matches.
func (c Chain) Logs(r Rule) bool { return c.Log && !r.Verdict.Passes() }

// logText is the statement, with a space behind it; nothing if the rule does not log.
func (c Chain) logText(r Rule) string {
	if !c.Logs(r) {
		return ""
	}
	return fmt.Sprintf("log prefix %q group %d ", r.LogPrefix(), LogGroup)
}

// logBlocked makes every rule log that ends a packet. The kernel makes a
// message only while somebody listens.
func (rs Ruleset) logBlocked() {
	for _, t := range rs.Tables {
		for i := range t.Chains {
			t.Chains[i].Log = true
		}
	}
}
