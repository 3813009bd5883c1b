package hook

// Event is what a call means for the session. The zero value is EventIgnore.
type Event uint8

// The events.
const (
	EventIgnore   Event = iota // change nothing, succeed
	EventUp                    // the device has its addresses: seal
	EventEndpoint              // the server's address is known, or is another
	EventRoutes                // the client's routes are set
	EventRestart               // the client comes back, or nobody knows: stay closed
	EventStop                  // somebody on this host stopped the client
)

func (e Event) String() string {
	switch e {
	case EventUp:
		return "up"
	case EventEndpoint:
		return "endpoint"
	case EventRoutes:
		return "routes"
	case EventRestart:
		return "restart"
	case EventStop:
		return "stop"
	case EventIgnore:
	}
	return "ignore"
}

// seals reports whether the call strengthens the guard. Such a call must fail
// on bad input, all others must not.
func (e Event) seals() bool { return e == EventUp || e == EventEndpoint || e == EventRoutes }

// Redirect says whether the client sends all traffic into the tunnel.
type Redirect uint8

// The zero value is RedirectUnknown, to be treated as RedirectAll.
const (
	RedirectUnknown Redirect = iota
	RedirectAll
	RedirectNone
)

func (r Redirect) String() string {
	switch r {
	case RedirectAll:
		return "all"
	case RedirectNone:
		return "none"
	case RedirectUnknown:
	}
	return "unknown"
}
