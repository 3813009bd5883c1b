package rules

// Inside makes the ruleset of a namespace that has one tunnel device and is its
// programs' only network. Nobody in the tunnel may begin to talk to them but to
// the services that are named. Without a device, loopback is all there is.
//
// Nothing but the device may send: a namespace can have links that nobody put
// there, such as sit0.
func Inside(device string, services []Service) Ruleset {
	in := Chain{Name: "input", Hook: Input, Priority: priorityFilter}
	out := Chain{Name: "output", Hook: Output, Priority: priorityFilter}
	fwd := Chain{Name: "forward", Hook: Forward, Priority: priorityFilter}
	in.add("in-loopback", "programs talk to each other", Accept, onIface(Incoming, loopback))
	out.add("out-loopback", "programs talk to each other", Accept, onIface(Outgoing, loopback))
	if device != "" {
		in.add("in-answer-"+device, "what was asked for", Accept, onIface(Incoming, device), CT{States: []CTState{CTEstablished, CTRelated}})
		for _, s := range services {
			in.add("in-service-"+s.id(), "a service that the user lets the tunnel's peers reach", Accept, onIface(Incoming, device), s.protos(), s.port(Dst))
		}
		out.add("out-tunnel-"+device, "the only way out", Accept, onIface(Outgoing, device))
	}
	in.add("in-end", "silence: an answer would tell that somebody is here", Drop)
	out.reject("out-end", "there is no other way out")
	fwd.add("fwd-end", "nothing is forwarded", Drop)
	return Ruleset{Tables: []Table{{Family: Inet, Name: TableName, Chains: []Chain{in, fwd, out}}}}
}
