package dns

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab"
)

// Everything here happens in namespaces with a private /etc and /run.
func TestMain(m *testing.M) { lab.Main(m) }
