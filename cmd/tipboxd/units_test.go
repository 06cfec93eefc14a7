package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const unitsFolder = "deploy/systemd"

// systemdAnalyze is the program that judges units, without a systemd that runs.
func systemdAnalyze(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze: apt-get install systemd")
	}
	return program
}

// mostExposed is the most that systemd-analyze may find a service exposed, in tenths:
// from 10 it is OK, below SAFE, from 50 MEDIUM.
var mostExposed = map[string]string{
	"tipboxd.service":         "13",
	"tipboxd-backup.service":  "3",
	"tipboxd-compact.service": "3",
}

func TestServicesAreExposedNoMoreThanIsOK(t *testing.T) {
	t.Parallel()
	analyze := systemdAnalyze(t)
	files, err := filepath.Glob(filepath.Join(unitsFolder, "*.service"))
	if err != nil || len(files) != len(mostExposed) {
		t.Fatal(files, err)
	}
	for _, file := range files {
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+mostExposed[filepath.Base(file)], "./"+file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Log(lines[len(lines)-1])
	}
}

// TestUnitsAreWellFormed has systemd read all units, as they refer to each other. The
// program stands where it is here.
func TestUnitsAreWellFormed(t *testing.T) {
	t.Parallel()
	analyze := systemdAnalyze(t)
	here, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(unitsFolder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	verify := func(change func(string) string) string {
		args := []string{"verify", "--man=no", "--recursive-errors=no"}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, filepath.Base(file), change(strings.ReplaceAll(string(text), "/usr/bin/tipboxd", here)))
			args = append(args, filepath.Join(dir, filepath.Base(file)))
		}
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil {
			return string(out) + err.Error()
		}
		return string(out)
	}
	if said := verify(func(unit string) string { return unit }); said != "" {
		t.Error(said)
	}
	if verify(func(unit string) string { return strings.Replace(unit, "ProtectHome=yes", "ProtectHome=perhaps", 1) }) == "" {
		t.Error("nonsense is well formed too")
	}
}
