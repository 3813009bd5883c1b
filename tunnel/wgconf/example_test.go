package wgconf_test

import (
	"fmt"

	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

// Whatever is wrong has a place and a sentence.
func ExampleParse() {
	_, err := wgconf.Parse("wg0.conf", []byte("[Interface]\nAddress = 10.0.0.2/33\n"))
	fmt.Println(err)
	// Output: wg0.conf:2:11: Address "10.0.0.2/33" has a prefix length that is not from 0 to 32
}
