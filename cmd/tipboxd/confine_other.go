//go:build !linux

package main

import "errors"

func keepMemory() (missing []error) { return nil }

// confine says that there is nothing of it here.
func confine(confinement) (missing []error) {
	return []error{errors.New("all of it: only on Linux does the server shut itself in")}
}
