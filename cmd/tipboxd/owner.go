package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/google/renameio/v2"
)

// A folder belongs to the user as whom its server runs. Whoever took that server over
// can put anything there: a link that leads root elsewhere, or a pipe in the place of
// a file, which nobody ever writes into. So root does what it does in the folder as
// that user (actAsOwner, asOwner), and nobody reads there what is no file (readFile).

// actAsOwner has root do what follows as the user whose folder it is: what root
// makes there, that user's server could not read.
func actAsOwner(dir string) error {
	owner, err := anotherOwner(dir)
	if owner == nil || err != nil {
		return err
	}
	err = syscall.Setgroups(owner.gids)
	if err == nil {
		err = syscall.Setgid(owner.gids[0])
	}
	if err == nil {
		err = syscall.Setuid(owner.uid)
	}
	if err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", dir, err)
	}
	return nil
}

// asOwner has root do something as the user whose folder it is, and then be root again,
// for what that user may not. It is for one at a time: all of the process changes.
func asOwner(dir string, do func() error) error {
	owner, err := anotherOwner(dir)
	if err != nil {
		return err
	}
	if owner == nil {
		return do()
	}
	groups, err := syscall.Getgroups()
	if err == nil {
		err = syscall.Setgroups(owner.gids)
	}
	if err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", dir, err)
	}
	gid := os.Getegid()
	defer func() {
		if err := errors.Join(syscall.Seteuid(0), syscall.Setegid(gid), syscall.Setgroups(groups)); err != nil {
			panic(err) // it was root's right before
		}
	}()
	err = syscall.Setegid(owner.gids[0])
	if err == nil {
		err = syscall.Seteuid(owner.uid)
	}
	if err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", dir, err)
	}
	return do()
}

// anotherOwner is whose folder it is, with the own group first, if we are root and it
// is another user's; else nil.
func anotherOwner(dir string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it will be root's
	}
	if err != nil {
		return nil, err
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	if !ok || of.Uid == 0 {
		return nil, nil
	}
	owner := &account{uid: int(of.Uid), gids: []int{int(of.Gid)}}
	if u, err := user.LookupId(strconv.Itoa(owner.uid)); err == nil {
		if a := lookUpAccount(u.Username); a != nil { // by a group it may have keys to read
			owner.gids = append(owner.gids, a.gids...)
		}
	}
	return owner, nil
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
