// Package interop tests the tunnel's engine against wireguard-go.
//
//	ours                          wireguard-go
//	inner 10.0.0.1                inner 10.0.0.2 (a TUN in memory)
//	engine -- memory or UDP on loopback -- device
package interop

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab"
)

// Inside a network namespace: loopback sockets of the machine are not ours.
func TestMain(m *testing.M) { lab.Main(m) }
