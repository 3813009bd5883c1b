package verdict

import (
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// timelineBins is how many steps a timeline has: enough to see a gap, few
// enough to draw.
const timelineBins = 100

// timeline counts a stream's datagrams on the wires and in the tunnel.
func timeline(run *evidence.Run) *Timeline {
	in := run.Timeline
	if in == nil {
		return nil
	}
	t := &Timeline{Rate: in.Rate, Started: in.Started, Ended: in.Ended, Sent: in.Sent, Refused: in.Refused, Events: in.Events}
	leaked, tunnelled := map[uint64]time.Time{}, map[uint64]time.Time{}
	for _, c := range run.Captures {
		switch c.Role {
		case evidence.Wire:
			sightings(c, in.Nonce, leaked)
		case evidence.Inside:
			sightings(c, in.Nonce, tunnelled)
		case evidence.Internet, evidence.Source, evidence.Attacker, evidence.Host:
		}
	}
	t.Leaked, t.Tunnelled = len(leaked), len(tunnelled)
	width := max(in.Ended.Sub(in.Started)/timelineBins, time.Millisecond)
	t.BinMS = (width + time.Millisecond - 1).Milliseconds()
	t.LeakedBins, t.TunnelledBins = bins(leaked, in.Started, t.BinMS), bins(tunnelled, in.Started, t.BinMS)
	var times []time.Time
	for _, at := range leaked {
		times = append(times, at)
	}
	if len(times) > 0 {
		t.First, t.Last = slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare)
	}
	for _, at := range tunnelled {
		times = append(times, at)
	}
	times = append(times, in.Started, in.Ended)
	slices.SortFunc(times, time.Time.Compare)
	for i := range times[1:] {
		t.LongestGapMS = max(t.LongestGapMS, times[i+1].Sub(times[i]).Milliseconds())
	}
	return t
}

// sightings notes when each number of the stream was first seen.
func sightings(c evidence.Capture, nonce string, into map[uint64]time.Time) {
	for _, f := range c.Frames {
		for _, n := range wire.Numbers([]wire.Frame{onEthernet(f, c.Layer)}, nonce) {
			if at, ok := into[n]; !ok || f.Time.Before(at) {
				into[n] = f.Time
			}
		}
	}
}

// bins counts times in steps of ms from start; what is outside counts in the
// first or the last.
func bins(at map[uint64]time.Time, start time.Time, ms int64) []int {
	all := make([]int, timelineBins)
	for _, t := range at {
		i := t.Sub(start).Milliseconds() / ms
		all[min(max(i, 0), timelineBins-1)]++
	}
	return all
}
