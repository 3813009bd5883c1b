package report_test

import (
	"testing"

	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/report"
	"github.com/vpnguard/vpnguard/internal/sample"
)

// sampled is the report of an audit with a case of every verdict.
func sampled(t *testing.T) report.Report {
	t.Helper()
	c, err := conclude.Audit(sample.Audit(), conclude.Demands{Policy: []byte(sample.Policy)})
	if err != nil {
		t.Fatal(err)
	}
	return c.Report
}
