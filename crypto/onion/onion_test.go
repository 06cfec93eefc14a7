package onion_test

import (
	"errors"
	"strings"
	"testing"

	"tipbox/crypto/onion"
)

// The Tor Project's own, of rend-spec-v3 and of its site.
var addresses = []string{
	"pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion",
	"sp3k262uwy4r2k3ycr5awluarykdpag6a7y33jxop4cs2lu5uz5sseqd.onion",
	"xa4r2iadxm55fbnqgwwi5mymqdcofiu3w6rpbtqn7b2dyn7mgwj64jyd.onion",
	"2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion",
}

func TestAddresses(t *testing.T) {
	for _, a := range addresses {
		if err := onion.CheckAddress(a); err != nil {
			t.Error(err)
		}
		for name, bad := range map[string]string{
			"a letter changed": strings.Replace(a, a[:1], "7", 1), "upper case": strings.ToUpper(a), "no suffix": strings.TrimSuffix(a, ".onion"),
			"a port": a + ":80", "cut": a[1:], "a subdomain": "www." + a, "of version 2": "expyuzz4wqqyqhjn.onion", "empty": "", "only the suffix": ".onion",
			"a line break": a + "\n", "with a scheme": "http://" + a,
		} {
			if err := onion.CheckAddress(bad); !errors.Is(err, onion.ErrAddress) {
				t.Errorf("%s: %q: %v", name, bad, err)
			}
		}
	}
}

func FuzzCheckAddress(f *testing.F) {
	for _, a := range addresses {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := onion.CheckAddress(text); err == nil && (len(text) != 62 || strings.ToLower(text) != text) {
			t.Errorf("%q is taken for an address", text)
		}
	})
}
