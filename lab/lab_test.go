package lab

import (
	"context"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func newLab(t *testing.T) *Lab {
	t.Helper()
	start := time.Now()
	l, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	t.Logf("built in %v", time.Since(start).Round(time.Millisecond))
	return l
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// ordinary is the uid of a user without privileges, if there is one.
func ordinary() int {
	if SingleUID() {
		return 0
	}
	return 1000
}
