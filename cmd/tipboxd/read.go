package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// errNoFile means that something else is in the place of a file.
var errNoFile = errors.New("it is no file: take it away, or put a file there")

// mostRead is how long a file may be that is read as a whole, in bytes.
const mostRead = 16 << 20

// openFile opens a file for reading, or what a link leads to. It waits for nobody, as
// opening a pipe does, and refuses what is no file.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNoFile)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// readFile reads a file as a whole, in the manner of openFile.
func readFile(path string) ([]byte, error) {
	f, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostRead+1))
	if err == nil && len(text) > mostRead {
		err = fmt.Errorf("%s is longer than %d MiB, and so not what belongs there", path, mostRead>>20)
	}
	return text, err
}
