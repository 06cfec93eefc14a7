//go:build !linux

package dir

// noAccessTime is 0 where a file cannot be opened without touching its time of
// access.
const noAccessTime = 0
