package report_test

import (
	"bytes"
	"encoding/xml"
	"os/exec"
	"testing"

	"github.com/vpnguard/vpnguard/audit/report"
)

func xmllint(text []byte) ([]byte, error) {
	cmd := exec.Command("xmllint", "--noout", "--nonet", "--schema", "testdata/junit.xsd", "-")
	cmd.Stdin = bytes.NewReader(text)
	return cmd.CombinedOutput()
}

func TestJUnitIsValidByItsSchema(t *testing.T) {
	strange := sampled(t)
	strange.Results[0].Reasons = []string{"a\x00b\x1b[31m <![CDATA[ ]]> é \xff"}
	strange.Results[0].ID = "a\nb"
	for name, r := range map[string]report.Report{"sample": sampled(t), "empty": report.New(report.Input{}), "strange": strange} {
		var b bytes.Buffer
		if err := r.JUnit(&b); err != nil {
			t.Fatal(err)
		}
		if out, err := xmllint(b.Bytes()); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	var b bytes.Buffer
	if err := sampled(t).JUnit(&b); err != nil {
		t.Fatal(err)
	}
	// The schema must be able to refuse.
	for _, change := range [][2]string{{"<testcase ", "<test "}, {` hostname="localhost"`, ""}, {`timestamp="`, `timestamp="Z`}, {`type="leak"`, ""}} {
		broken := bytes.Replace(b.Bytes(), []byte(change[0]), []byte(change[1]), 1)
		if out, err := xmllint(broken); err == nil {
			t.Errorf("without %q it is valid: %s", change[0], out)
		}
	}
}

func TestJUnitCountsWhatItHolds(t *testing.T) {
	var b bytes.Buffer
	if err := sampled(t).JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Name    string    `xml:"name,attr"`
				Skipped *struct{} `xml:"skipped"`
				Error   *struct{} `xml:"error"`
				Failure *struct{} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	s := got.Suite
	if s.Tests != 12 || s.Failures != 3 || s.Errors != 1 || s.Skipped != 5 || len(s.Cases) != 12 {
		t.Errorf("%d cases: %+v", len(s.Cases), s)
	}
	for _, c := range s.Cases {
		if (c.Error != nil) != (c.Name == "af-packet/plain") {
			t.Errorf("%q has the error %v", c.Name, c.Error)
		}
	}
}
