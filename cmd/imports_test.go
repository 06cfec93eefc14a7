package cmd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport says which packages of ours each package may import; a trailing
// "/..." is a package and all below it. A package that is not here is refused.
var mayImport = map[string][]string{
	"cmd":                nil,
	"cmd/tipboxd":        {"..."},
	"cmd/tipbox":         {"..."},
	"tipbox":             {"crypto/...", "store"},
	"tipbox/web":         {"tipbox", "crypto/receipt", "static"},
	"tipbox/desk":        {"tipbox", "crypto/..."},
	"tipbox/tipboxtest":  {"tipbox", "store", "store/mem", "crypto/..."},
	"tipbox/web/webtest": {"tipbox", "tipbox/tipboxtest", "tipbox/web", "crypto/receipt", "crypto/roster", "static", "store", "store/mem"},
	"crypto/seal":        {"crypto/secret"},
	"crypto/receipt":     {"crypto/secret"},
	"crypto/roster":      {"crypto/voucher"},
	"crypto/onion":       nil,
	"crypto/secret":      nil,
	"crypto/voucher":     nil,
	"store":              nil,
	"store/bolt":         {"store"},
	"store/mem":          {"store"},
	"store/dir":          {"store"},
	"store/storetest":    {"store"},
	"static":             nil,
}

// onlyIn says in which packages a module's packages may be imported.
var onlyIn = map[string][]string{
	"go.etcd.io/bbolt":                      {"store/bolt"},
	"github.com/gorilla/mux":                {"tipbox/web", "tipbox/desk"},
	"net/http":                              {"tipbox/web", "tipbox/web/webtest", "tipbox/desk", "cmd/tipboxd", "cmd/tipbox"},
	"github.com/cloudflare/circl/blindsign": {"crypto/voucher"},
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "tipbox/...")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; seen++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "tipbox/")
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s is not in the table: does it belong into one that is?", name)
		}
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, "tipbox/"); ok && !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, ours) }) {
				t.Errorf("%s imports %s", name, ours)
			}
			for module, where := range onlyIn {
				if (imported == module || strings.HasPrefix(imported, module+"/")) && !slices.Contains(where, name) {
					t.Errorf("%s imports %s", name, imported)
				}
			}
		}
	}
	if seen != len(mayImport) {
		t.Errorf("%d packages, the table has %d", seen, len(mayImport))
	}
}

func matches(pattern, name string) bool {
	if base, ok := strings.CutSuffix(pattern, "..."); ok {
		return name == strings.TrimSuffix(base, "/") || strings.HasPrefix(name, base)
	}
	return pattern == name
}

// TestTopLevelIsAsItWasDrawn keeps the tree as its owner drew it.
func TestTopLevelIsAsItWasDrawn(t *testing.T) {
	out, err := exec.Command("git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	drawn := []string{"cmd", "tipbox", "crypto", "store", "static", "go.mod", "go.sum", "README.md", "LICENSE"}
	for file := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(file), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(drawn, top) {
			t.Errorf("%s stands at the top level", top)
		}
	}
}
