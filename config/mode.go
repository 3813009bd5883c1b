package config

import "fmt"

// Profile says how much traffic belongs in the tunnel. The zero value is
// ProfileFull.
type Profile uint8

// The profiles.
const (
	ProfileFull  Profile = iota // all traffic
	ProfileSplit                // only what the client routes there
	ProfileAuto                 // full until the client's environment proves split
)

var profiles = []string{ProfileFull: "full", ProfileSplit: "split", ProfileAuto: "auto"}

// String returns "full", "split" or "auto".
func (p Profile) String() string { return name(profiles, p) }

// UnmarshalText reads what String returns. An error leaves p as it was.
func (p *Profile) UnmarshalText(text []byte) error {
	return choose(p, "profile", "auto, full or split", profiles, text)
}

// Fence says whether the egress hook (Linux 5.16) must be there. The zero
// value is FenceRequired.
type Fence uint8

// The fence modes.
const (
	FenceRequired Fence = iota // without the hook `up` and `lock` refuse
	FenceOff                   // raw frames are not stopped
)

var fences = []string{FenceRequired: "required", FenceOff: "off"}

// String returns "required" or "off".
func (f Fence) String() string { return name(fences, f) }

// UnmarshalText reads what String returns. An error leaves f as it was.
func (f *Fence) UnmarshalText(text []byte) error {
	return choose(f, "fence", "required or off", fences, text)
}

// Steer says whether routing leads into the tunnel what is not a carrier's. The
// zero value is SteerAuto.
type Steer uint8

// The steering modes.
const (
	SteerAuto Steer = iota // wherever it can; the rules hold without it
	SteerOff               // routes stay as the client made them
)

var steers = []string{SteerAuto: "auto", SteerOff: "off"}

// String returns "auto" or "off".
func (s Steer) String() string { return name(steers, s) }

// UnmarshalText reads what String returns. An error leaves s as it was.
func (s *Steer) UnmarshalText(text []byte) error {
	return choose(s, "steer", "auto or off", steers, text)
}

// Routing tables that steering may begin at, and where it does unless told: a
// neighbour of wg-quick's, far from the low numbers that people choose.
const (
	MinSteerTable     = 256
	MaxSteerTable     = 1<<31 - 1024 // each session takes one more
	DefaultSteerTable = 51920
)

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "invalid"
}

func choose[T ~uint8](to *T, what, want string, names []string, text []byte) error {
	for i, n := range names {
		if n == string(text) {
			*to = T(i)
			return nil
		}
	}
	return fmt.Errorf("%s %q: want %s", what, text, want)
}
