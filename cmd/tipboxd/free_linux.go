package main

import "golang.org/x/sys/unix"

// freeSpace is how many bytes the disk of a folder has left for us.
func freeSpace(folder string) (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(folder, &disk); err != nil {
		return 0, err
	}
	return int64(disk.Bavail) * int64(disk.Frsize), nil
}
