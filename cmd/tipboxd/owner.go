package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// actAsOwner has root do what follows as the user whose folder it is: what root
// makes there, that user's server could not read.
func actAsOwner(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it will be root's
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	err = syscall.Setgroups([]int{int(owner.Gid)})
	if err == nil {
		err = syscall.Setgid(int(owner.Gid))
	}
	if err == nil {
		err = syscall.Setuid(int(owner.Uid))
	}
	if err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", dir, err)
	}
	return nil
}

// ofAnother reports whether we are root and a folder is another user's, who may at
// any time put a link in the place of what is in it.
func ofAnother(dir string) (bool, error) {
	if os.Geteuid() != 0 {
		return false, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && owner.Uid != 0, nil
}

// mayHand refuses root a file in another's folder which that user could not read: it
// is what a link leads to.
func mayHand(dir, file string, info fs.FileInfo) error {
	another, err := ofAnother(dir)
	if err != nil || !another {
		return err
	}
	folder, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner := folder.Sys().(*syscall.Stat_t)
	if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Uid != owner.Uid && info.Mode().Perm()&0o004 == 0 &&
		(of.Gid != owner.Gid || info.Mode().Perm()&0o040 == 0) {
		return fmt.Errorf("%s leads to a file that the owner of %s may not read: take it away, or let them read it", file, dir)
	}
	return nil
}

// putFile puts a file into a server's folder, in the place of what is there, link or
// not. It belongs to whom the folder belongs to, also if root does it, and did so
// before it had its name.
func putFile(dir, name string, text []byte) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	pending, err := renameio.NewPendingFile(filepath.Join(dir, name), renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer pending.Cleanup()
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		// Not by its name, as a server that is shut in may not.
		if err := pending.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	if _, err := pending.Write(text); err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}
