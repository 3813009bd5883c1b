package guard

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// Whoever has a tunnel of the kernel without a mark is told where it is set.
func TestATunnelOfTheKernelIsToldHowItGetsAMark(t *testing.T) {
	for kind, says := range map[string]string{"wireguard": "`wg set tun0 fwmark 51820`", "ovpn": "--mark N", "vxlan": "--mark N"} {
		h := newHost(t)
		for i := range h.links.list {
			if h.links.list[i].Name == "tun0" {
				h.links.list[i].Kind = kind
			}
		}
		_, err := h.Up(context.Background(), request("tun0"), false)
		var wrong *UsageError
		if !errors.As(err, &wrong) || !strings.Contains(wrong.Hint, says) {
			t.Errorf("%s: %v: %+v, want the hint %q", kind, err, wrong, says)
		}
	}
}
