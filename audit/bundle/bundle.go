// Package bundle keeps an audit's evidence so that others can check it: the
// frames as pcapng, the rest as JSON, and a manifest of digests. One changed
// byte makes it worthless, and it is refused.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

// Schema names the form of a manifest.
const Schema = "vpnguard-audit-bundle/1"

// The files of a bundle beside the captures.
const (
	manifestName = "manifest.json"
	// EvidenceName is all that the verdicts are computed from, but for the frames.
	EvidenceName = "evidence.json"
	// PolicyName and BaselineName are the user's own files as they were read;
	// they may be missing.
	PolicyName   = "policy.toml"
	BaselineName = "baseline.json"
	// ReportName is the canonical report as it was then.
	ReportName = "report.json"
	readmeName = "README"
)

// Files are a bundle's files by their names, without the manifest.
type Files map[string][]byte

// manifest lists every other file. Its bytes follow from it, so that each of
// them counts.
type manifest struct {
	Schema string  `json:"schema"`
	Files  []entry `json:"files"`
}

type entry struct {
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// readme is for the person who finds the bundle.
const readme = `Evidence of a vpnguard audit.

  vpnguard audit replay DIRECTORY   computes every verdict again from this evidence alone
  runs/*.pcapng                     every frame of every run, an interface for each vantage point
  findings/*.pcapng                 the frames of each finding alone
  evidence.json                     what was tried, what was declared, what was read
  report.json                       what it came to
  manifest.json                     digests of all other files (sha256sum compares them, too)
`

// New makes a bundle of an audit. Its runs name the files that their frames
// are in from then on. Other files, by the names above, may be added.
func New(a evidence.Audit) (Files, error) {
	f := Files{readmeName: []byte(readme)}
	for i := range a.Cases {
		c := &a.Cases[i]
		for j := range c.Runs {
			run := &c.Runs[j]
			run.File = ""
			if len(run.Captures) == 0 {
				continue
			}
			data, err := pcapng(run.Captures, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", verdict.Name(c.ID, c.Variant), err)
			}
			run.File = fmt.Sprintf("runs/%03d-%s-%d-%s.pcapng", i+1, plain(verdict.Name(c.ID, c.Variant)), run.Repetition, plain(string(run.Phase)))
			if _, ok := f[run.File]; ok { // a second run of the same phase, which the verdict complains of
				run.File = fmt.Sprintf("runs/%03d-%03d.pcapng", i+1, j+1)
			}
			f[run.File] = data
		}
	}
	var err error
	f[EvidenceName], err = encode(a)
	return f, err
}

// FindingName is the file of a result's finding, from 0.
func FindingName(r verdict.Result, finding int) string {
	print := r.Findings[finding].Fingerprint // no two findings have the same
	return fmt.Sprintf("findings/%s-%s.pcapng", plain(r.Name()), print[:min(12, len(print))])
}

// AddFindings adds the frames of each finding alone, with its sentence beside.
func (f Files) AddFindings(results []verdict.Result) error {
	for _, r := range results {
		if err := f.findings(r); err != nil {
			return fmt.Errorf("write the findings of %s: %w", r.Name(), err)
		}
	}
	return nil
}

func (f Files) findings(r verdict.Result) error {
	for i, found := range r.Findings {
		if len(found.Numbers) == 0 || r.Case == nil {
			continue
		}
		c := r.Case
		run := slices.IndexFunc(c.Runs, func(run evidence.Run) bool {
			return run.Phase == evidence.Guarded && run.Repetition == found.Repetition
		})
		// Of two captures of one name, which no proof accepts, it is one that has the frames.
		at := slices.IndexFunc(c.Runs[run].Captures, func(c evidence.Capture) bool {
			return c.Vantage == found.Vantage && len(c.Frames) >= slices.Max(found.Numbers)
		})
		one := c.Runs[run].Captures[at]
		all := one.Frames
		one.Frames = nil
		for _, n := range found.Numbers {
			one.Frames = append(one.Frames, all[n-1])
		}
		data, err := pcapng([]evidence.Capture{one}, func(_, frame int) string {
			return fmt.Sprintf("frame %d of %s: %s", found.Numbers[frame], c.Runs[run].File, found.Text)
		})
		if err != nil {
			return err
		}
		f[FindingName(r, i)] = data
	}
	return nil
}

// plain is a name that every file system takes.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, name)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// Manifest is the bytes of the manifest, and their digest in hex, which stands
// for the whole bundle.
func (f Files) Manifest() (data []byte, digest string, err error) {
	m := manifest{Schema: Schema}
	for name, b := range f {
		sum := sha256.Sum256(b)
		m.Files = append(m.Files, entry{Name: name, Bytes: len(b), SHA256: hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(m.Files, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	if data, err = encode(m); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:]), nil
}

// ErrAltered means that a bundle is not what was written.
var ErrAltered = errors.New("the bundle was altered")

// check wants the manifest to be exactly that of the files.
func (f Files) check(got []byte) error {
	want, _, err := f.Manifest()
	if err != nil {
		return err
	}
	if bytes.Equal(got, want) {
		return nil
	}
	var m manifest
	if err := json.Unmarshal(got, &m); err != nil {
		return fmt.Errorf("read %q: %w: %w", manifestName, err, ErrAltered)
	}
	if m.Schema != Schema {
		return fmt.Errorf("read %q: its schema is %q, not %q: %w", manifestName, m.Schema, Schema, ErrAltered)
	}
	listed := map[string]entry{}
	for _, e := range m.Files {
		listed[e.Name] = e
	}
	var wanted manifest
	if err := json.Unmarshal(want, &wanted); err != nil {
		return err
	}
	for _, e := range wanted.Files {
		is, ok := listed[e.Name]
		switch {
		case !ok:
			return fmt.Errorf("%q is not in the manifest: %w", e.Name, ErrAltered)
		case is != e:
			return fmt.Errorf("%q has not the digest and size that the manifest says: %w", e.Name, ErrAltered)
		}
		delete(listed, e.Name)
	}
	for name := range listed {
		return fmt.Errorf("%q is in the manifest and not in the bundle: %w", name, ErrAltered)
	}
	return fmt.Errorf("%q is not as it was written: %w", manifestName, ErrAltered)
}

// Audit reads the evidence, frames included.
func (f Files) Audit() (evidence.Audit, error) {
	var a evidence.Audit
	d := json.NewDecoder(bytes.NewReader(f[EvidenceName]))
	if err := d.Decode(&a); err != nil {
		return a, fmt.Errorf("read %q: %w", EvidenceName, err)
	}
	if a.Schema != evidence.Schema {
		return a, fmt.Errorf("read %q: its schema is %q, not %q", EvidenceName, a.Schema, evidence.Schema)
	}
	for i := range a.Cases {
		for j := range a.Cases[i].Runs {
			run := &a.Cases[i].Runs[j]
			if run.File == "" {
				continue
			}
			data, ok := f[run.File]
			if !ok {
				return a, fmt.Errorf("read the frames of %s: there is no %q", verdict.Name(a.Cases[i].ID, a.Cases[i].Variant), run.File)
			}
			if err := readPcapng(data, run.Captures); err != nil {
				return a, fmt.Errorf("%q: %w", run.File, err)
			}
		}
	}
	return a, nil
}
