// Package cmd_test holds the stories that are told with the real programs, and
// the checks of the tree as a whole.
package cmd_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// programs is the folder of the programs under test: tipboxd, tipbox, and the
// stock age and age-keygen.
var programs string

// programsEnv names the folder where a test starts this program again.
const programsEnv = "TIPBOX_PROGRAMS"

func TestMain(m *testing.M) {
	os.Setenv("LC_ALL", "C.UTF-8")      // whatever is spoken here; a browser takes names of files by it
	os.Setenv("PEBBLE_VA_NOSLEEP", "1") // else an authority waits before it looks
	// Some of them only wait: for a network, for a browser. A number that was asked for
	// goes before.
	flag.Parse()
	if asked := flag.Lookup("test.parallel"); asked.Value.String() == asked.DefValue {
		asked.Value.Set(strconv.Itoa(runtime.GOMAXPROCS(0) + 2))
	}
	os.Exit(func() int {
		if programs = os.Getenv(programsEnv); programs != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "tipbox-programs-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		build := exec.Command("go", "build", "-o", dir, "tipbox/cmd/tipboxd", "tipbox/cmd/tipbox", "filippo.io/age/cmd/age", "filippo.io/age/cmd/age-keygen")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
			return 1
		}
		programs = dir
		return m.Run()
	}())
}

// program is the path of one of the programs.
func program(name string) string { return filepath.Join(programs, name) }
