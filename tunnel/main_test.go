package tunnel_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
)

// Tests run in namespaces; this program is also what runs in each of them.
func TestMain(m *testing.M) {
	roles := map[string]func() error{"hold": hold, "end": runEnd, "theirs": runTheirs, "traffic": runTraffic, "link": runLink, "flood": runFlood}
	if f := roles[os.Getenv("TUNNEL_TEST_ROLE")]; f != nil {
		if err := f(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	lab.Main(m)
}

// order reads what a role is to do.
func order(into any) error { return json.Unmarshal([]byte(os.Getenv("TUNNEL_TEST_ORDER")), into) }

// hold keeps a network namespace until its standard input ends.
func hold() error {
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}
