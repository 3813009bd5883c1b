package tunnel_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// describe says on what the numbers were measured: only ratios of one run on one
// machine can be compared.
func describe(b *testing.B) {
	b.Helper()
	var model string
	var flags []string
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags", "Features":
			flags = strings.Fields(value)
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		b.Fatal(err)
	}
	theirs := "of an unknown version"
	if text, err := os.ReadFile("../go.mod"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "golang.zx2c4.com/wireguard "); ok {
			theirs = strings.Fields(rest)[0]
		}
	}
	say("processor %q, class %s, %d cores; Linux %s; %s; wireguard-go %s", model, class(flags), runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]), runtime.Version(), theirs)
}

// class names what a cipher can make use of; goals differ by it.
func class(flags []string) string {
	has := func(f string) bool { return slices.Contains(flags, f) }
	switch {
	case has("avx512ifma") && has("avx512_vbmi2"):
		return "AVX-512 with IFMA (not used by x/crypto)"
	case has("avx2") && has("bmi2"):
		return "AVX2"
	case has("asimd"):
		return "NEON"
	}
	return runtime.GOARCH + " without vectors"
}

// stat reads the fields of a process's stat behind its name (proc(5): the
// first of them is field 3).
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])), nil
}

// ticks adds numbers of one hundredth of a second up.
func ticks(fields []string) (seconds float64) {
	for _, s := range fields {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			panic(err) // the kernel's own format
		}
		seconds += n / 100
	}
	return seconds
}

// cpu is the user and system time of a process in seconds.
func cpu(t testing.TB, pid int) float64 {
	t.Helper()
	f, err := stat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return ticks(f[11:13])
}

// memory is a field of a process's status in MiB: VmHWM, the largest resident
// size, or VmRSS, the present one.
func memory(t testing.TB, pid int, field string) float64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

// vigil finds out how much of the machine others use meanwhile.
type vigil struct {
	begin       time.Time
	all, nobody float64
}

func newVigil() vigil {
	all, ours := busy()
	return vigil{time.Now(), all, ours}
}

// foreign is how many cores others kept busy since the watch began.
func (w vigil) foreign() float64 {
	all, ours := busy()
	return max(0, (all-w.all-(ours-w.nobody))/time.Since(w.begin).Seconds())
}

// busy returns the processor time of the whole machine and of this process
// namespace, which is ours. Interrupts count for nobody.
func busy() (all, ours float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		panic(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	all = ticks(strings.Fields(first)[1:4])
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		panic(err)
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		if f, err := stat(pid); err == nil { // it may have ended: then its parent has its time
			ours += ticks(f[11:15])
		}
	}
	return all, ours
}
