package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

type body struct {
	Device string            `json:"device"`
	Marks  []int             `json:"marks"`
	Knobs  map[string]string `json:"knobs"`
}

var sample = body{Device: "tun0", Marks: []int{1, 51820}, Knobs: map[string]string{"a<b": "é\u2028\\"}}

const bootA, bootB = "8a7d0c5e-0000-4000-8000-000000000001", "8a7d0c5e-0000-4000-8000-000000000002"

func newStore(t *testing.T) *Store {
	t.Helper()
	s := New(filepath.Join(t.TempDir(), "vpnguard"))
	s.BootID = func() (string, error) { return bootA, nil }
	return s
}

func lock(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Lock(ctx); err != nil {
		t.Fatal(err)
	}
}

func mustSave(t *testing.T, s *Store, b body) {
	t.Helper()
	lock(t, s)
	if err := s.Save(b); err != nil {
		t.Fatal(err)
	}
	if err := s.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestSavedStateIsLoadedAgain(t *testing.T) {
	s := newStore(t)
	if _, err := s.Load(&body{}); !errors.Is(err, ErrNone) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Load without a directory: %v, want ErrNone", err)
	}
	before := time.Now()
	mustSave(t, s, body{Device: "old"})
	mustSave(t, s, sample)
	var got body
	meta, err := s.Load(&got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Error(diff)
	}
	if meta.Version != 1 || meta.BootID != bootA || meta.Written.Before(before) {
		t.Errorf("meta %+v", meta)
	}
	lock(t, s)
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(); err != nil {
		t.Errorf("second Remove: %v", err)
	}
	if _, err := s.Load(&body{}); !errors.Is(err, ErrNone) {
		t.Errorf("Load after Remove: %v, want ErrNone", err)
	}
}

func TestAnyoneMayReadButOnlyOwnerMayLock(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	s := newStore(t)
	mustSave(t, s, sample)
	for name, want := range map[string]os.FileMode{"": 0o755 | os.ModeDir, fileName: 0o644, lockName: 0o600} {
		st, err := os.Lstat(filepath.Join(s.path, name))
		if err != nil || st.Mode() != want {
			t.Errorf("%q: mode %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
}

func TestWritingNeedsTheLock(t *testing.T) {
	s := newStore(t)
	_, qerr := s.Quarantine()
	for name, err := range map[string]error{
		"Save": s.Save(sample), "Remove": s.Remove(), "Quarantine": qerr, "Unlock": s.Unlock(),
	} {
		if !errors.Is(err, ErrNotLocked) {
			t.Errorf("%s: %v, want ErrNotLocked", name, err)
		}
	}
}

func TestForeignBootIsReportedWithItsBody(t *testing.T) {
	s := newStore(t)
	mustSave(t, s, sample)
	s.BootID = func() (string, error) { return bootB, nil }
	var got body
	meta, err := s.Load(&got)
	var foreign *ForeignBootError
	if !errors.As(err, &foreign) || foreign.Boot != bootA || foreign.Now != bootB {
		t.Fatalf("%v, want ForeignBootError", err)
	}
	if diff := cmp.Diff(sample, got); diff != "" || meta.BootID != bootA {
		t.Errorf("meta %+v, body %s", meta, diff)
	}
}

func TestPresentBootIDIsRead(t *testing.T) {
	id, err := New(t.TempDir()).bootID()
	if err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
}

func TestNewerVersionIsNotJudgedByOurRules(t *testing.T) {
	s := newStore(t)
	mustSave(t, s, sample)
	text := `{"format":"vpnguard-state","version":7,"body":[1],"signature":"x"}` + "\n"
	put(t, s, fileName, []byte(text))
	_, err := s.Load(&body{})
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Have != 7 || newer.Know != Version {
		t.Fatalf("%v, want NewerError", err)
	}
}

func TestUnknownFieldInBodyIsCorrupt(t *testing.T) {
	s := newStore(t)
	mustSave(t, s, sample)
	_, err := s.Load(&struct{ Device string }{})
	wantCorrupt(t, err, WrongBody)
}

func TestQuarantineKeepsEveryDamagedJournal(t *testing.T) {
	s := newStore(t)
	lock(t, s)
	if _, err := s.Quarantine(); !errors.Is(err, ErrNone) {
		t.Errorf("without a journal: %v, want ErrNone", err)
	}
	for n := 1; n <= 3; n++ {
		damaged := fmt.Appendf(nil, "damage %d", n)
		put(t, s, fileName, damaged)
		path, err := s.Quarantine()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, damaged) {
			t.Errorf("%q: %q, %v", path, got, err)
		}
		if _, err := s.Load(&body{}); !errors.Is(err, ErrNone) {
			t.Errorf("Load after Quarantine: %v", err)
		}
	}
}

func TestSaveRemovesWhatACrashLeft(t *testing.T) {
	s := newStore(t)
	mustSave(t, s, sample)
	put(t, s, tempPrefix+"1", []byte("half"))
	put(t, s, "other", []byte("not ours"))
	mustSave(t, s, sample)
	entries, err := os.ReadDir(s.path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), "lock other state.json"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTooLargeIsRefusedBothWays(t *testing.T) {
	s := newStore(t)
	mustSave(t, s, sample)
	lock(t, s)
	if err := s.Save(body{Device: strings.Repeat("x", MaxSize)}); err == nil {
		t.Error("saved")
	}
	if _, err := s.Load(&body{}); err != nil {
		t.Errorf("old journal after a refused Save: %v", err)
	}
	if err := s.Save(make(chan int)); err == nil {
		t.Error("saved a channel")
	}
	put(t, s, fileName, bytes.Repeat([]byte(" "), MaxSize+1))
	_, err := s.Load(&body{})
	wantCorrupt(t, err, TooLarge)
}

func put(t *testing.T, s *Store, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.path, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantCorrupt(t *testing.T, err error, why Damage) {
	t.Helper()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Why != why {
		t.Errorf("%v, want CorruptError: %v", err, why)
	}
}
