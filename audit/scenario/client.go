package scenario

import (
	"fmt"
)

// newClient is a client that has not started.
func newClient(o *Order) (client, error) {
	switch o.Client {
	case "", "own":
		o.Client = "own"
		return &ownClient{}, nil
	}
	return nil, fmt.Errorf("client %q is not known", o.Client)
}

// unsuited is why a scenario makes no sense with a client.
func unsuited(o *Order, s grouped) string {
	return s.unfit[o.Client]
}
