//go:build !amd64 && !arm64

package main

import "errors"

// refuseCalls says that there is nothing of it here.
func refuseCalls(bool) error {
	return errors.New("programs can be started, processes traced and connections begun: only on amd64 and arm64 are the system calls for that refused")
}
