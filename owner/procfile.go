package owner

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

type stat struct {
	comm, state string
	parent      int
	start       uint64
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The name in parentheses may
// hold anything, parentheses and newlines included: only the last ")" ends it.
func parseStat(text string) (stat, error) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return stat{}, errors.New("stat: no name in parentheses")
	}
	field := strings.Fields(text[end+1:]) // from field 3 on
	if len(field) < 20 {
		return stat{}, fmt.Errorf("stat: only %d fields", len(field)+2)
	}
	parent, err := strconv.Atoi(field[4-3])
	if err != nil {
		return stat{}, fmt.Errorf("stat: parent: %w", err)
	}
	start, err := strconv.ParseUint(field[22-3], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("stat: start time: %w", err)
	}
	return stat{comm: text[open+1 : end], state: field[0], parent: parent, start: start}, nil
}

// parseStatus reads ids and capabilities from /proc/PID/status. The process can
// put no line of its own there: the kernel escapes the newlines of its name.
func parseStatus(text string, p *Process) error {
	seen := 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		var err error
		switch name {
		case "Uid":
			p.UIDs, err = parseIDs(value)
		case "Gid":
			p.GIDs, err = parseIDs(value)
		case "CapEff":
			p.CapEff, err = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("status: %s: %w", name, err)
		}
		seen++
	}
	if seen != 3 {
		return errors.New("status: no Uid, Gid or CapEff")
	}
	return nil
}

func parseIDs(value string) (IDs, error) {
	field := strings.Fields(value)
	if len(field) != 4 {
		return IDs{}, fmt.Errorf("%d ids, want 4", len(field))
	}
	var n [4]uint32
	for i, f := range field {
		v, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return IDs{}, err
		}
		n[i] = uint32(v)
	}
	return IDs{Real: n[0], Effective: n[1], Saved: n[2], FS: n[3]}, nil
}

// parseCgroup returns the cgroup v2 path, which is on the line "0::PATH".
func parseCgroup(text string) string {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(path, "\n")
		}
	}
	return ""
}
