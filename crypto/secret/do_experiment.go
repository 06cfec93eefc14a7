//go:build goexperiment.runtimesecret

package secret

import "runtime/secret"

// Do calls f. The registers and the stack that f used are overwritten before it
// returns, and what f took from the heap once nothing refers to it.
func Do(f func()) { secret.Do(f) }
