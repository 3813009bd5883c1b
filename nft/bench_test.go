package nft_test

import "testing"

// What a heal is made of: reading our tables, and replacing them.
func BenchmarkList(b *testing.B) {
	conn := open(b)
	if _, err := conn.Replace(build(b, policy())); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := conn.List(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplace(b *testing.B) {
	conn := open(b)
	rs := build(b, policy())
	for b.Loop() {
		if _, err := conn.Replace(rs); err != nil {
			b.Fatal(err)
		}
	}
}
