package guardian

import (
	"net"
	"os"
)

// Notify tells the service manager, if one started this program (sd_notify(3)).
// It is no error if nobody listens.
func Notify(what string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(what))
}
