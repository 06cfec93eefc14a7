package onion_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"tipbox/crypto/onion"
)

// A clientVector is a key in every form. They were made with openssl and Python, from
// the keys of RFC 7748.
type clientVector struct {
	Name, PEM, Address string
	Authorization      string
	AuthPrivate        string `json:"auth_private"`
}

func clientVectors(t testing.TB) (vectors []clientVector) {
	t.Helper()
	data, err := os.ReadFile("testdata/client.json")
	if err == nil {
		err = json.Unmarshal(data, &vectors)
	}
	if err != nil || len(vectors) == 0 {
		t.Fatal(len(vectors), err)
	}
	return vectors
}

func TestClientKeysAreWrittenAsTorReadsThem(t *testing.T) {
	for _, v := range clientVectors(t) {
		key, err := onion.ParseClientKey([]byte(v.PEM))
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		again, address, err := onion.ParseForService(v.AuthPrivate)
		if err != nil || address != v.Address {
			t.Fatalf("%s: for %s, %v", v.Name, address, err)
		}
		for _, k := range []*onion.ClientKey{key, again} {
			if got, err := k.Reveal(); err != nil || string(got) != v.PEM {
				t.Errorf("%s: the key is written as another: %v", v.Name, err)
			}
			if got := k.Authorization(); got != v.Authorization {
				t.Errorf("%s: the authorization is %s", v.Name, got)
			}
			if got, err := k.ForService(v.Address); err != nil || got != v.AuthPrivate {
				t.Errorf("%s: for the service it is another: %v", v.Name, err)
			}
		}
		for _, line := range []string{v.Authorization, "descriptor:x25519:" + strings.ToLower(v.Authorization[18:])} {
			if err := onion.CheckAuthorization(line); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
	}
}

func TestNewClientKeysDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for range 10 {
		key, err := onion.NewClientKey()
		if err != nil {
			t.Fatal(err)
		}
		seen[key.Authorization()] = true
	}
	if len(seen) != 10 {
		t.Errorf("%d of 10 keys are there once", len(seen))
	}
}

func TestWhatIsNoClientKeyIsRefusedAndNotRepeated(t *testing.T) {
	v := clientVectors(t)[0]
	secret := v.AuthPrivate[strings.LastIndex(v.AuthPrivate, ":")+1:]
	const ed25519 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"
	refuses := func(kind, text string, err error) {
		t.Helper()
		if !errors.Is(err, onion.ErrClientKey) {
			t.Errorf("%s: %q: %v", kind, text, err)
		}
		if err != nil && strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("%s: the error says the secret: %v", kind, err)
		}
	}
	spare := v.Authorization[:len(v.Authorization)-1] + "B" // other bits behind the same bytes
	for _, text := range []string{
		"", "descriptor:x25519:", v.Authorization + "A", v.Authorization[:len(v.Authorization)-1], v.Authorization + "\n", " " + v.Authorization, spare,
		strings.Replace(v.Authorization, "x25519", "ed25519", 1), strings.Replace(v.Authorization, "descriptor", "intro", 1), v.AuthPrivate, v.PEM, v.Authorization + "====",
	} {
		refuses("authorization", text, onion.CheckAuthorization(text))
	}
	for _, text := range []string{
		"", v.Authorization, v.AuthPrivate + "\n", v.AuthPrivate + ":", v.AuthPrivate[1:], "x" + v.AuthPrivate, v.Address + v.AuthPrivate[56:], v.AuthPrivate[:100],
		strings.Replace(v.AuthPrivate, "p", "q", 1), v.PEM,
	} {
		_, _, err := onion.ParseForService(text)
		refuses("for a service", text, err)
	}
	for _, text := range []string{"", v.AuthPrivate, v.PEM[:60], v.PEM + v.PEM, v.PEM + "x", ed25519, strings.ReplaceAll(v.PEM, "PRIVATE", "PUBLIC")} {
		_, err := onion.ParseClientKey([]byte(text))
		refuses("key", text, err)
	}
	key, err := onion.ParseClientKey([]byte(v.PEM))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.ForService("example.org"); !errors.Is(err, onion.ErrAddress) {
		t.Errorf("for no onion service: %v", err)
	}
}

func TestClientKeysHideThemselves(t *testing.T) {
	v := clientVectors(t)[0]
	key, err := onion.ParseClientKey([]byte(v.PEM))
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		key *onion.ClientKey
		Key *onion.ClientKey
	}{key, key}
	var out strings.Builder
	for _, value := range []any{key, *key, holder, &holder, []any{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		text, _ := json.Marshal(value)
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", value)
	}
	private, _, _ := strings.Cut(v.PEM[len("-----BEGIN PRIVATE KEY-----\n"):], "\n")
	for _, secret := range []string{v.AuthPrivate[80:100], private[24:40], "77076d0a", "119 7 109", "77, 0x7, 0x6d"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was printed", secret)
		}
	}
}

func FuzzCheckAuthorization(f *testing.F) {
	for _, v := range clientVectors(f) {
		f.Add(v.Authorization)
		f.Add(v.AuthPrivate)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if err := onion.CheckAuthorization(line); err == nil && len(line) != len("descriptor:x25519:")+52 {
			t.Errorf("%q is taken for an authorization", line)
		}
	})
}

func FuzzParseForService(f *testing.F) {
	for _, v := range clientVectors(f) {
		f.Add(v.Authorization)
		f.Add(v.AuthPrivate)
	}
	f.Fuzz(func(t *testing.T, line string) {
		key, address, err := onion.ParseForService(line)
		if err != nil {
			return
		}
		if again, err := key.ForService(address); err != nil || !strings.EqualFold(again, line) {
			t.Errorf("%q is read, and written as another: %v", line, err)
		}
	})
}

func FuzzParseClientKey(f *testing.F) {
	for _, v := range clientVectors(f) {
		f.Add([]byte(v.PEM))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := onion.ParseClientKey(text)
		if err != nil {
			return
		}
		pem, err := key.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := onion.ParseClientKey(pem); err != nil || again.Authorization() != key.Authorization() {
			t.Errorf("%q is read, and written as another: %v", text, err)
		}
	})
}
