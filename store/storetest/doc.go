// Package storetest is the conformance suite of package store. Every backend
// runs it from its own tests, and one that passes may serve Tipbox:
//
//	func TestStore(t *testing.T) {
//		storetest.TestStore(t, func(t *testing.T) store.Store { return open(t) }, reopen)
//	}
//
// Each sentence of the contracts of store.Store and store.Blobs has a subtest
// here; what a backend promises beyond them belongs into its own tests. Run it
// with -race.
package storetest
