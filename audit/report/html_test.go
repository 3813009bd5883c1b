package report_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

var reference = regexp.MustCompile(`(?i)\b(src|href|action|data|poster)\s*=\s*"([^"]*)"|url\(([^)]*)\)|@import`)

func TestThePageNeedsNoScriptAndNoOtherFile(t *testing.T) {
	page := written(t, sampled(t).HTML)
	for _, no := range []string{"<script", "<iframe", "<object", "<embed", "<form", "javascript:", " onclick=", " onload=", "http://", "https://"} {
		if strings.Contains(strings.ToLower(page), no) {
			t.Errorf("the page has %q", no)
		}
	}
	for _, m := range reference.FindAllStringSubmatch(page, -1) {
		if m[2] != "data:," {
			t.Errorf("the page refers to %q", m[0])
		}
	}
	if !strings.Contains(page, `content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`) {
		t.Error("the page does not forbid to load anything")
	}
}

func TestThePageShowsWhatProvesAFinding(t *testing.T) {
	page := written(t, sampled(t).HTML)
	for what, want := range map[string]string{
		"the decoded frame":      "192.168.1.101 &gt; 8.8.8.8 UDP port 40000 &gt; 53",
		"the frame's bytes":      "00000000  02 00 00 00 01 01 02 00",
		"the wide drawing":       `<svg class="wide"`,
		"the tall drawing":       `<svg class="tall"`,
		"a vantage point":        "◉ WIRE",
		"the time line":          `aria-label="datagrams over time"`,
		"an event":               "3.990 s: the client is killed",
		"the first leak":         "3.990 s: the first leaked",
		"the last leak":          "4.980 s: the last leaked",
		"a proof that is there":  "✓ positive control",
		"a proof that is not":    "✗ capture liveness",
		"the canaries":           "canaries between: 2 of 2",
		"a file and its digest":  ".pcapng · sha256 ",
		"how to reproduce it":    "vpnguard audit lab --seed 42 --only bind-to-device",
		"a survivor":             "survived",
		"the rules in force":     "table inet vpnguard",
		"how to check the whole": "vpnguard audit replay BUNDLE",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %s: %q", what, want)
		}
	}
	if i, j := strings.Index(page, "<h2>Coverage"), strings.Index(page, "<h2>Cases"); i < 0 || j < i {
		t.Error("coverage does not come first")
	}
}

func TestWhatOthersWroteIsTextOnThePage(t *testing.T) {
	const evil = `"><script>alert(1)</script><svg onload="x">`
	r := sampled(t)
	r.Statement, r.Scope.ThreatModel, r.Results[0].Variant, r.Results[0].Reasons[0] = evil, evil, evil, evil
	r.Results[0].Findings[0].Frames[0].Text = evil
	r.Topology = evidence.Topology{
		Nodes:    []evidence.Node{{Name: "a", Label: evil, Addresses: []string{evil}, Column: 1 << 30, Row: -1}, {Name: "b"}},
		Links:    []evidence.Link{{From: "a", To: "b", Label: evil}, {From: "a", To: "b", Label: evil, Tunnel: true}, {From: "nobody", To: "b"}},
		Vantages: []evidence.Vantage{{Name: evil, Node: "a", Supports: []string{evil}}, {Node: "nobody"}},
	}
	page := written(t, r.HTML)
	if strings.Contains(page, "<script") || strings.Contains(page, "<svg onload") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error("a text became markup")
	}
}
