package cmd_test

import (
	"os"
	"testing"
)

func TestTor(t *testing.T) {
	if dir := os.Getenv(torNetEnv); dir != "" {
		runTorNet(t, dir)
		return
	}
	t.Parallel()
	needTor(t)
	dir, err := os.MkdirTemp("", "tipbox-tor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	net := startTorNet(t, dir, torPlan{
		Service: "HiddenServiceDir " + dir + "/service/sources\nHiddenServicePort 80 unix:" + dir + "/sources.sock\n",
		Clients: map[string]string{"source": ""},
	})
	t.Logf("up in %v: %s", net.upIn, net.output.Bytes())
}
