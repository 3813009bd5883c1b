package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/audit/report"
)

// auditOutput is one form of an audit's report.
type auditOutput struct{ format, file string }

// auditFormats are the forms, by the names that --format takes.
var auditFormats = map[string]func(report.Report, io.Writer) error{
	"text": func(r report.Report, out io.Writer) error {
		return r.Text(out, terminal(out) && os.Getenv("NO_COLOR") == "")
	},
	"json": report.Report.JSON, "sarif": report.Report.SARIF, "junit": report.Report.JUnit, "tap": report.Report.TAP,
	"code-scanning": report.Report.CodeScanning, "attestation": report.Report.Attestation, "baseline": report.Report.Baseline,
	"html": report.Report.HTML, "annotations": report.Report.Annotations, "summary": report.Report.Summary,
}

func parseFormats(all []string) (outputs []auditOutput, err error) {
	if len(all) == 0 {
		all = []string{"text"}
	}
	plain := 0
	for _, f := range all {
		format, file, toFile := strings.Cut(f, "=")
		if auditFormats[format] == nil || toFile && file == "" {
			var known []string
			for name := range auditFormats {
				known = append(known, name)
			}
			slices.Sort(known)
			return nil, &usageError{fmt.Errorf("--format %q: want one of %s, or one with =FILE", f, strings.Join(known, ", ")), "nothing was started"}
		}
		if !toFile {
			plain++
		}
		outputs = append(outputs, auditOutput{format, file})
	}
	if plain > 1 {
		return nil, &usageError{fmt.Errorf("--format: %d forms would share the output", plain), "give all but one of them a file: FORMAT=FILE"}
	}
	return outputs, nil
}

func (o auditOutput) write(w *world, r report.Report) error {
	if o.file == "" {
		return auditFormats[o.format](r, w.stdout)
	}
	file, err := os.Create(o.file)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := auditFormats[o.format](r, file); err != nil {
		_ = file.Close()
		return fmt.Errorf("write the report to %q: %w", o.file, err)
	}
	return file.Close()
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
