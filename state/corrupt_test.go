package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func sampleFile(t testing.TB) []byte {
	t.Helper()
	data, err := encode(envelope{
		Format: formatName, Version: Version, BootID: bootA,
		Written: time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC),
		Body:    []byte(`{"device":"tun0","marks":[1,51820],"knobs":{"a":"b"}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// parse is Load without the disk.
func parse(data []byte) error {
	env, err := decode(data)
	if err != nil {
		return err
	}
	return decodeBody(env.Body, &body{})
}

func TestEverySingleByteCorruptionIsFound(t *testing.T) {
	data := sampleFile(t)
	if err := parse(data); err != nil {
		t.Fatalf("control: %v", err)
	}
	for i := range data {
		for flip := 1; flip < 256; flip++ {
			bad := bytes.Clone(data)
			bad[i] ^= byte(flip)
			err := parse(bad)
			var corrupt *CorruptError
			var newer *NewerError
			if !errors.As(err, &corrupt) && !errors.As(err, &newer) {
				t.Fatalf("byte %d: %q for %q: %v", i, bad[i], data[i], err)
			}
		}
	}
}

func TestTruncationAtEveryLengthIsFound(t *testing.T) {
	data := sampleFile(t)
	for n := range data {
		wantCorrupt(t, parse(data[:n]), Truncated)
	}
}

func TestDamageIsNamed(t *testing.T) {
	data := sampleFile(t)
	swap := func(from, to string) []byte {
		if !bytes.Contains(data, []byte(from)) {
			t.Fatalf("no %q in the sample", from)
		}
		return bytes.Replace(data, []byte(from), []byte(to), 1)
	}
	for _, tt := range []struct {
		name string
		data []byte
		why  Damage
	}{
		{"zeros, as after a power failure", make([]byte, 200), NotJSON},
		{"text", []byte("hello\n"), NotJSON},
		{"another JSON", []byte("{\"format\":\"other\"}\n"), WrongFormat},
		{"array", []byte("[]\n"), WrongFormat},
		{"null", []byte("null\n"), WrongFormat},
		{"version 0", swap(`"version":1`, `"version":0`), WrongVersion},
		{"version as text", swap(`"version":1`, `"version":"1"`), WrongFormat},
		{"two journals", append(bytes.Clone(data), data...), TrailingData},
		{"blank line", append(bytes.Clone(data), '\n'), TrailingData},
		{"body", swap("tun0", "tun1"), WrongSum},
		{"boot", swap(bootA, bootB), WrongSum},
		{"time", swap("2026-03-04", "2025-03-04"), WrongSum},
		{"space", swap(`"version":1`, `"version": 1`), WrongFormat},
		{"case of a name", swap(`"boot_id"`, `"Boot_ID"`), WrongFormat},
		{"unknown header field", swap(`"version":1`, `"version":1,"x":1`), WrongFormat},
		{"doubled field", swap(`"version":1`, `"version":1,"version":1`), WrongFormat},
	} {
		t.Run(tt.name, func(t *testing.T) { wantCorrupt(t, parse(tt.data), tt.why) })
	}
}

func TestSymlinksAndStrangersAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
	}{
		{"directory is a link", func(t *testing.T, dir string) {
			real := t.TempDir()
			must(t, os.Chmod(real, 0o755))
			must(t, os.Remove(dir))
			must(t, os.Symlink(real, dir))
		}},
		{"directory is a file", func(t *testing.T, dir string) {
			must(t, os.Remove(dir))
			must(t, os.WriteFile(dir, nil, 0o644))
		}},
		{"world-writable", func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o777)) }},
		{"sticky", func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o777|os.ModeSticky)) }},
		{"group-writable", func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o775)) }},
		{"of another user", func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Skip("needs root to give a directory away")
			}
			must(t, os.Chown(dir, 4711, -1))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			must(t, os.Mkdir(s.path, 0o755))
			tt.prepare(t, s.path)
			var unsafe *UnsafeError
			if err := s.Lock(t.Context()); !errors.As(err, &unsafe) {
				t.Errorf("Lock: %v, want UnsafeError", err)
			}
			if _, err := s.Load(&body{}); !errors.As(err, &unsafe) {
				t.Errorf("Load: %v, want UnsafeError", err)
			}
			// A trailing slash makes the kernel follow a link.
			if _, err := New(s.path + "/").Load(&body{}); !errors.As(err, &unsafe) {
				t.Errorf("Load with a slash: %v, want UnsafeError", err)
			}
		})
	}
}

func TestLinkInPlaceOfAFileIsNotFollowed(t *testing.T) {
	s := newStore(t)
	mustSave(t, s, sample)
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, sampleFile(t), 0o644))
	for _, name := range []string{fileName, lockName} {
		must(t, os.Remove(filepath.Join(s.path, name)))
		must(t, os.Symlink(victim, filepath.Join(s.path, name)))
	}
	var unsafe *UnsafeError
	if _, err := s.Load(&body{}); !errors.As(err, &unsafe) {
		t.Errorf("Load: %v, want UnsafeError", err)
	}
	if err := s.Lock(t.Context()); !errors.As(err, &unsafe) {
		t.Errorf("Lock: %v, want UnsafeError", err)
	}
	must(t, os.Remove(filepath.Join(s.path, lockName)))
	mustSave(t, s, sample) // the rename replaces the link itself
	if got, err := os.ReadFile(victim); err != nil || !bytes.Equal(got, sampleFile(t)) {
		t.Errorf("the link's target was changed: %q, %v", got, err)
	}
	if _, err := s.Load(&body{}); err != nil {
		t.Error(err)
	}
}

func TestOnlyARegularFileIsRead(t *testing.T) {
	s := newStore(t)
	must(t, os.MkdirAll(filepath.Join(s.path, fileName), 0o755))
	var unsafe *UnsafeError
	if _, err := s.Load(&body{}); !errors.As(err, &unsafe) {
		t.Errorf("%v, want UnsafeError", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(sampleFile(f))
	f.Add([]byte(`{"format":"vpnguard-state","version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		env, err := decode(data)
		if err != nil {
			return
		}
		if again, err := encode(env); err != nil || !bytes.Equal(again, data) {
			t.Errorf("accepted %q, which is spelt %q, %v", data, again, err)
		}
	})
}
