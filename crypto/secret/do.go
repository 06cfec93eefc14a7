//go:build !goexperiment.runtimesecret

package secret

// Do calls f.
func Do(f func()) { f() }
