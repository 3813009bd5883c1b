package guard

import "errors"

// UsageError is a request that cannot be carried out as it was put. Nothing
// was changed.
type UsageError struct {
	Err  error
	Hint string // what to do instead; may be empty
}

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// StateError is a failure together with the state that it leaves the host in.
type StateError struct {
	Err   error
	State string // a sentence
}

func (e *StateError) Error() string { return e.Err.Error() + "; " + e.State }
func (e *StateError) Unwrap() error { return e.Err }

// ErrDrift means that what is enforced is not what was recorded.
var ErrDrift = errors.New("what is enforced is not what was recorded")

func usage(err error, hint string) error { return &UsageError{err, hint} }

// unchanged says of an error from before the first effect that it left the
// host alone. A UsageError says so already.
func unchanged(err error) error {
	var request *UsageError
	if errors.As(err, &request) {
		return err
	}
	return &StateError{err, "nothing was changed"}
}
