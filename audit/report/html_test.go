package report_test

import (
	"os"
	"testing"
)

func TestTmp(t *testing.T) {
	r := sampled(t)
	f, _ := os.Create("/tmp/shots/page.html")
	if err := r.HTML(f); err != nil {
		t.Fatal(err)
	}
}
