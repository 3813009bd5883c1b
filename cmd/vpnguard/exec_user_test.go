package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/netns"
)

func TestEnvironmentIsTheSessionsWhereItIsKnown(t *testing.T) {
	own := []string{"HOME=/root", "USER=root", "SUDO_UID=1", "SUDO_COMMAND=x", "MAIL=/var/mail/root", "WORDS=a  b", "PATH=/bin"}
	s := someone{User: netns.User{UID: 4294967294}, name: "me", home: "/home/me", shell: "/bin/zsh"}
	want := "WORDS=a  b|PATH=/bin|HOME=/home/me|USER=me|LOGNAME=me|SHELL=/bin/zsh"
	if got := strings.Join(s.env(own), "|"); got != want {
		t.Errorf("of a named user: %q, want %q", got, want)
	}
	s.session = []string{"HOME=/home/me", "WAYLAND_DISPLAY=wayland-0"}
	if got := s.env(own); !slices.Equal(got, s.session) {
		t.Errorf("of a known session: %q", got)
	}
	s.session, s.caller = nil, true
	if got := s.env(own); !slices.Equal(got, own) {
		t.Errorf("of a caller without sudo: %q", got)
	}
}

func TestProgramsPathIsQuotedForOpenVPN(t *testing.T) {
	if got := quoted(`/opt/my "own"\vpnguard`); got != `"/opt/my \"own\"\\vpnguard"` {
		t.Errorf("quoted: %s", got)
	}
}
