package survey

import "fmt"

// Severity says what a finding does. The zero value is the worst.
type Severity uint8

const (
	// Blocks: the VPN, the tunnel or something that the user wants will not work.
	Blocks Severity = iota
	// Leaks: something gets past the tunnel, or opens the host.
	Leaks
	// Note: nothing is wrong, but it behaves differently behind the seal.
	Note
)

func (s Severity) String() string {
	if names := [...]string{"blocks", "leaks", "note"}; int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("severity %d", uint8(s))
}

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing about the host that a user should know.
type Finding struct {
	ID       string   `json:"id"` // stable: one word for each kind
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Do       string   `json:"do"`
}
