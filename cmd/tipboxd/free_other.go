//go:build !linux

package main

import "math"

// freeSpace is without end where we cannot ask: a full disk is then noticed
// when it is full.
func freeSpace(string) (int64, error) { return math.MaxInt64, nil }
