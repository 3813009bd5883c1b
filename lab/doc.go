// Package lab is a laboratory of network namespaces: a client, the router it
// hangs on, an internet behind that and a VPN server, with a capture at the far
// end of the client's cable that decides what leaked.
//
//	guest                                                     server (vp)
//	172.31.0.2                                                203.0.113.10, .11
//	guest0 |                                                  2001:db8:5::10, ::11
//	       |                                                        | eth0
//	client (cl)                gateway (gw)              internet (in)
//	eth0 192.168.1.101  ---->  lan0 192.168.1.1
//	2001:db8:1::101      ^     2001:db8:1::1
//	tun0 10.8.0.x        |     wan0 198.51.100.2  ----   gw0 198.51.100.1
//	     fd00:8::x       |     2001:db8:c::2             2001:db8:c::1
//	                  capture                            lo: 8.8.8.8 1.1.1.1 203.0.113.80
//	                  (in gw, on lan0)                   2001:db8:80::80 2001:4860:4860::8888
//
// Nothing touches the machine's own network: [Main] and [Run] re-execute the
// program in new user, network, mount, pid, ipc and uts namespaces, and [New]
// refuses to work outside of them. Each node is a network and mount namespace
// of its own held by a child process, with a private /etc, /run and /var/lib;
// commands enter a node as new processes, never by moving a thread. When the
// program ends, however it ends, the kernel ends every process of the lab.
//
// A leak test runs a [probe.Probe] first with the guard off ([Lab.Control]),
// which must show on the wire, then with the guard on ([Lab.Try]), and asks
// [wire.Policy.Judge] to explain every frame in between.
package lab
