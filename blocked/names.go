package blocked

import (
	"net"
	"time"
)

// namesTime is how long a name is believed: asking costs a dump of all
// interfaces, and they are seldom renamed.
const namesTime = 2 * time.Second

// names are those of interfaces by their numbers.
type names struct {
	known map[uint32]string
	until time.Time
}

func (n *names) of(index uint32) string {
	if index == 0 {
		return ""
	}
	if now := time.Now(); now.After(n.until) {
		n.known, n.until = map[uint32]string{}, now.Add(namesTime)
	}
	name, ok := n.known[index]
	if !ok {
		if i, err := net.InterfaceByIndex(int(index)); err == nil {
			name = i.Name
		}
		n.known[index] = name
	}
	return name
}
