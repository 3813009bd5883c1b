package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/vpnguard/vpnguard/audit/verdict"
)

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Package    string          `xml:"package,attr"`
	ID         int             `xml:"id,attr"`
	Name       string          `xml:"name,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Hostname   string          `xml:"hostname,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
	Out        string          `xml:"system-out"`
	Err        string          `xml:"system-err"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *junitMessage `xml:"skipped"`
	Error   *junitMessage `xml:"error"`
	Failure *junitMessage `xml:"failure"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes a suite with a case for each variant: a finding is a failure,
// inconclusive an error, what was not tested or is accepted is skipped.
func (r Report) JUnit(w io.Writer) error {
	s := junitSuite{
		Package: "vpnguard.audit", Name: r.profile(), Hostname: "localhost", Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
		Time: fmt.Sprintf("%.3f", max(r.Finished.Sub(r.Started).Seconds(), 0)),
		Properties: []junitProperty{
			{"statement", r.Statement}, {"outcome", string(r.Outcome.Status)}, {"client", named(r.Scope.Client)}, {"guard", named(r.Scope.Guard)},
			{"kernel", r.Environment.Kernel}, {"seed", fmt.Sprint(r.Scope.Seed)}, {"evidence.sha256", r.EvidenceSHA256},
			{"coverage", fmt.Sprintf("%d of %d classes tested", r.Coverage.Tested, r.Coverage.Classes)},
		},
	}
	var out strings.Builder
	for _, one := range r.Results {
		c := junitCase{Name: one.Name(), Class: "vpnguard.audit." + one.ID, Time: fmt.Sprintf("%.3f", one.took())}
		m := &junitMessage{Message: oneLine(firstOf(one.Reasons)), Type: string(one.Verdict), Text: strings.Join(one.Reasons, "\n")}
		s.Tests++
		switch one.Verdict {
		case verdict.Leak, verdict.Exposed:
			c.Failure = m
			s.Failures++
		case verdict.Inconclusive:
			c.Error = m
			s.Errors++
		case verdict.NotTested, verdict.NotApplicable, verdict.Waived:
			c.Skipped = m
			s.Skipped++
		case verdict.OracleRemains, verdict.Pass:
		default: // a verdict of a later version
			c.Error = m
			s.Errors++
		}
		s.Cases = append(s.Cases, c)
		fmt.Fprintf(&out, "%s %s\n", one.Verdict, one.Name())
		for _, f := range one.files() {
			fmt.Fprintf(&out, "  %s sha256:%s\n", f.Name, f.SHA256)
			s.Properties = append(s.Properties, junitProperty{"evidence." + one.Name() + "." + f.Name, f.SHA256})
		}
	}
	s.Out = out.String()
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suite: s}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// files are those of the findings, else those of the runs.
func (r Result) files() []File {
	var all []File
	for _, f := range r.Findings {
		if f.File != nil {
			all = append(all, *f.File)
		}
	}
	return append(all, r.Captures...)
}
