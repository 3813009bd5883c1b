package tests

import (
	"testing"
)

func TestTunnelUpSealsAndDownRestores(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel(allowedSplit)
	before := s.snapshot()
	_, said := s.must(0, "tunnel", "up", s.conf)
	t.Log(said)
	s.must(0, "status")
	s.splitWorks(far)
	_, said = s.must(0, "tunnel", "down", "own0")
	t.Log(said)
	s.gone(before)
}
