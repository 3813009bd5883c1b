// Package vm boots a Debian with Debian's own kernel in qemu, under software
// emulation, and holds the far end of its cable:
//
//	this process                              qemu
//	+---------------------------+            +---------------------------+
//	| Gateway: ARP, DHCP, RA    | unix       | wire0    systemd, network |
//	| records every frame       |<== socket =| (virtio) manager, senders |
//	+---------------------------+            |                           |
//	| Guest: runs commands      |<== socket =| virtio serial: guest      |
//	+---------------------------+            +---------------------------+
//
// Nothing is connected to the network of this machine: a frame is four bytes
// of length and its bytes, in a socket between two processes. What a guest
// sends is therefore seen outside it, from its power-on to its power-off.
//
// What a package of vpnguard installs is in the table files; what happens to a
// locked machine that is on, in acts; how a lock fails at the next boot, in
// failures; who brings the wire up, in managers. A new unit is a line in each
// that concerns it.
//
// With a second card the guest holds the far end as well, in a namespace of its
// own: VPN servers and resolvers. What goes there leaves by the first card, is
// recorded, and comes back by the second:
//
//	qemu: wire0 ---> Gateway ---> far0, namespace far: 192.168.77.1, 203.0.113.5
//
// How a client is driven there is a client of the tests, and what is demanded of each in
// scene.runs.
//
// What needs no cable but a kernel that the test's machine may lack runs in the
// laboratory of network namespaces, inside the guest: TestInTheLaboratory boots one
// guest for the tests of package tests that have the tag vm, a subtest each.
//
// Timings inside emulation mean nothing; frames do. The tests have the build
// tag vm and are run by `make vm-test`.
package vm
