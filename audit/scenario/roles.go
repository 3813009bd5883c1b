package scenario

import (
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/dhcp"
	"github.com/vpnguard/vpnguard/lab/forward"
	"github.com/vpnguard/vpnguard/lab/own"
)

// Roles registers what copies of this program do in the laboratory.
func Roles() {
	lab.Register(own.ServerRole, own.Serve)
	lab.Register(own.ClientRole, own.Dial)
	lab.Register(dhcp.ServerRole, dhcp.Serve)
	lab.Register(dhcp.ClientRole, dhcp.Take)
	lab.Register(forward.Role, forward.Serve)
}
