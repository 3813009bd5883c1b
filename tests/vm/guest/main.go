// Command guest is what the tests run inside the booted guest: an agent that
// runs commands for the test, a sender that tries every way out as soon as
// there is an interface, and a server that tells callers who they seem to be.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	err := fmt.Errorf("usage: guest serve PORT | guest send NAME INTERVAL | guest answer ADDR:PORT | guest ask ADDR:PORT")
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		err = serve(os.Args[2])
	}
	if len(os.Args) == 4 && os.Args[1] == "send" {
		var every time.Duration
		if every, err = time.ParseDuration(os.Args[3]); err == nil && every > 0 {
			err = send(os.Args[2], every)
		}
	}
	if len(os.Args) == 3 && os.Args[1] == "answer" {
		err = tell(os.Args[2])
	}
	if len(os.Args) == 3 && os.Args[1] == "ask" {
		if err = ask(os.Args[2]); err == nil {
			return
		}
	}
	fmt.Fprintln(os.Stderr, "guest:", err)
	os.Exit(1)
}
