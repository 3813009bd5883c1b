// Package tests holds the end-to-end tests: the real program, real clients,
// the real kernel, and a capture on the wire that decides.
package tests

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
