package wireguard

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
