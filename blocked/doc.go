// Package blocked hears of each packet that a rule ends, from the kernel's
// nflog, and says who tried what.
//
// A [Listener] binds a group and turns messages into events; an [Aggregate]
// keeps the last minutes of them in bounded memory. The kernel makes messages
// only while somebody listens, and for one listener a group.
//
// What an event says of the packet is the kernel's word, of the process a best
// effort: the kernel tells the uid of the socket, the program is looked up
// afterwards and may be gone by then.
package blocked
