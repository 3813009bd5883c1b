package evidence

// Environment is where the audit ran.
type Environment struct {
	Kernel string  `json:"kernel"`
	Tools  []Named `json:"tools,omitempty"`
	// Capabilities are what the machine could and could not do, which decides
	// what is not tested.
	Capabilities []Capability `json:"capabilities,omitempty"`
	// Sections are listings in their own format: rules before, during and
	// after, knobs, routes, addresses, tables' owners, the resolver's state.
	Sections []Section `json:"sections,omitempty"`
	// SkewNS bounds how far apart the clocks of the vantage points are.
	SkewNS int64 `json:"skew_ns"`
}

// A Capability is something that a scenario may need.
type Capability struct {
	Name string `json:"name"`
	Have bool   `json:"have"`
	Why  string `json:"why,omitempty"` // it is missing
}

// A Section is one listing.
type Section struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

// Topology is what was built, and who watched where.
type Topology struct {
	Nodes    []Node    `json:"nodes"`
	Links    []Link    `json:"links"`
	Vantages []Vantage `json:"vantages"`
}

// A Node is a host. Column and Row place it in a drawing.
type Node struct {
	Name      string   `json:"name"`
	Label     string   `json:"label"`
	Addresses []string `json:"addresses,omitempty"`
	Column    int      `json:"column"`
	Row       int      `json:"row"`
}

// A Link is a cable, or a tunnel over cables.
type Link struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Label  string `json:"label,omitempty"`
	Tunnel bool   `json:"tunnel,omitempty"`
}

// A Vantage is a point of capture and the claims that it supports.
type Vantage struct {
	Name string `json:"name"`
	Node string `json:"node"`
	// Peer is the node at the other end of the link that is captured.
	Peer     string   `json:"peer,omitempty"`
	Supports []string `json:"supports"`
}
