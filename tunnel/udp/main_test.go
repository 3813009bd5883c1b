package udp

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab"
)

// Tests run in namespaces of their own.
func TestMain(m *testing.M) { lab.Main(m) }
