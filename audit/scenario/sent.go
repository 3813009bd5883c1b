package scenario

import (
	"encoding/json"
	"fmt"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// sent is a report on its way out of the laboratory. A case's JSON has no frames;
// here they go beside it, in the order of its captures.
type sent struct {
	Report
	Frames [][]wire.Frame `json:",omitempty"`
}

func encodeReport(e *json.Encoder, r Report) error {
	s := sent{Report: r}
	for c := range captures(r.Case) {
		s.Frames = append(s.Frames, c.Frames)
	}
	return e.Encode(s)
}

func decodeReport(d *json.Decoder) (Report, error) {
	var s sent
	if err := d.Decode(&s); err != nil {
		return Report{}, err
	}
	n := 0
	for c := range captures(s.Case) {
		if n == len(s.Frames) {
			return Report{}, fmt.Errorf("a case of %d captures without all their frames", n+1)
		}
		c.Frames = s.Frames[n]
		n++
	}
	return s.Report, nil
}

// captures are all captures of a case, in the order of its runs.
func captures(c *evidence.Case) func(yield func(*evidence.Capture) bool) {
	return func(yield func(*evidence.Capture) bool) {
		if c == nil {
			return
		}
		for i := range c.Runs {
			for j := range c.Runs[i].Captures {
				if !yield(&c.Runs[i].Captures[j]) {
					return
				}
			}
		}
	}
}
