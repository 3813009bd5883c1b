package guard

// Session returns the recorded session of a device. A record that cannot be
// read has none.
func (g *Guard) Session(dev string) (Session, bool) {
	rec, _, err := g.load()
	if err != nil {
		return Session{}, false
	}
	i, ok := rec.session(dev)
	if !ok {
		return Session{}, false
	}
	return rec.Sessions[i], true
}
