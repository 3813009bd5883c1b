// Package rules turns a policy into an nftables ruleset.
//
// It is pure: it opens no socket and reads no file. Data goes one way:
//
//	Policy --Build--> Ruleset --Text--> what `nft -f` accepts
//	                     |-----lower--> expressions for the kernel (package lower)
//	                     |-----Eval---> the verdict on one packet, and the rule that gave it
//
// The zero Policy is the strictest: nothing but link upkeep passes.
package rules
