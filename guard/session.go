package guard

import "slices"

// Sessions returns all recorded sessions. A record that cannot be read has none.
func (g *Guard) Sessions() []Session {
	rec, _, err := g.load()
	if err != nil {
		return nil
	}
	return rec.Sessions
}

// Session returns the recorded session of a device. A record that cannot be
// read has none.
func (g *Guard) Session(dev string) (Session, bool) {
	list := g.Sessions()
	if i := slices.IndexFunc(list, func(s Session) bool { return s.Dev == dev }); i >= 0 {
		return list[i], true
	}
	return Session{}, false
}
