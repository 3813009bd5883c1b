package hook

// input is all that a call brings.
type input struct {
	command Command
	env     environment
	args    []string
	parent  Parent
}

// client is one kind of client.
type client struct {
	names []string

	// recognise tells whether the call is of this client, and what event it is.
	// It looks at nothing that a server can choose.
	recognise func(in input) (Call, bool)

	// read adds the values. It must not change the event.
	read func(r *reader, in input, c *Call)

	// which says, of a kind with several names, whose call it is.
	which func(in input) string
}

// clients are all kinds. The first that recognises a call has it, so that
// evidence which is not inherited comes first: the parent process, then the
// environments that clients clean before they call, then those that may hold
// what an earlier program left.
var clients = []client{
	{names: []string{"wg-quick"}, recognise: recogniseWGQuick, read: readWGQuick},
	{names: []string{"openvpn"}, recognise: recogniseOpenVPN, read: readOpenVPN},
	{names: []string{"networkmanager"}, recognise: recogniseNetworkManager, read: readNetworkManager},
	{names: []string{"strongswan"}, recognise: recogniseStrongSwan, read: readStrongSwan},
	{names: []string{"pppd"}, recognise: recognisePPPD, read: readPPPD},
	{names: []string{"openconnect", "vpnc"}, recognise: recogniseVPNC, read: readVPNC, which: whichVPNC},
	{names: []string{"tinc"}, recognise: recogniseTinc, read: readTinc},
	{names: []string{"ifupdown"}, recognise: recogniseIfupdown, read: readIfupdown},
	{names: []string{"networkd-dispatcher"}, recognise: recogniseNetworkd, read: readNetworkd},
}

func (c client) name(in input) string {
	if c.which != nil {
		return c.which(in)
	}
	return c.names[0]
}

// Clients are the names of all clients that [Parse] knows.
func Clients() []string {
	var names []string
	for _, c := range clients {
		names = append(names, c.names...)
	}
	return names
}
