// Package secret has the memory overwritten in which a secret was worked with.
//
// It does so in a program that was built with GOEXPERIMENT=runtimesecret, on
// Linux, amd64 and arm64, with Go's runtime/secret, of which Go says itself that
// it is an experiment. In any other, Do calls its function and that is all.
//
// What it does not reach, even so: what came in and goes out, such as the form
// that a browser sent and the page that shows a code, which lie in the buffers
// of the connection; copies that a caller makes outside of Do; other goroutines;
// and what is still in use. Memory from the heap is overwritten when the garbage
// collector finds that it is not.
package secret
