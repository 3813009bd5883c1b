package catalogue

import "github.com/vpnguard/vpnguard/audit/evidence"

var forwarded = []Entry{
	{ID: "forward-container", Class: Forwarded, Severity: evidence.Critical, Where: Namespaces,
		Title:  "a guest's traffic is forwarded past the output rules",
		Why:    "containers, VMs and hotspots leave by the wire as if there were no seal",
		Packet: "the guest's traffic, translated, in clear on the wire",
		Closed: "the forward chain ends in fwd-end", Limits: "tested with a routed guest, to the server's address and after the tunnel is gone"},
	{ID: "macvlan-ipvlan", Class: Forwarded, Severity: evidence.High, Where: Namespaces,
		Title:  "a child interface of the wire passes the host's hooks",
		Why:    "its packets never enter the host's IP stack",
		Packet: "the child's traffic on the wire",
		Closed: "the wire's fence: fence-end", Limits: "tested with macvlan; ipvlan goes the same way in L2 mode"},
	{ID: "bridged-uplink", Class: Forwarded, Severity: evidence.High, Where: Namespaces,
		Title:  "the wire is the port of a bridge",
		Why:    "a VM on the same bridge sends by it, unseen by inet hooks",
		Packet: "the guest's frames on the wire",
		Closed: "the fence is on the lower device", Limits: "tested with a veth pair as the VM's port"},
}
