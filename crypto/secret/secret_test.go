package secret_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"tipbox/crypto/secret"
)

func TestDoCallsOnceAndPassesAPanicOn(t *testing.T) {
	calls := 0
	secret.Do(func() { calls++ })
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	defer func() {
		if p := recover(); p != "out" {
			t.Errorf("panic: %v", p)
		}
	}()
	secret.Do(func() { panic("out") })
}

// TestSecretsAreErasedUnderTheExperiment runs, in programs that are built so, the
// tests that look into memory that was given up.
func TestSecretsAreErasedUnderTheExperiment(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Go's own packages anew")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("Go has no runtime/secret on %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	test := exec.Command("go", "test", "-v", "-run", "Erased$", "tipbox/crypto/receipt", "tipbox/crypto/seal")
	test.Env = append(os.Environ(), "GOEXPERIMENT=runtimesecret")
	out, err := test.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}
