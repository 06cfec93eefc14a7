package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tipbox/crypto/roster"
)

// newFolder makes a server's folder, with more in its tipbox.toml.
func newFolder(t *testing.T, more string) *folder {
	t.Helper()
	root, err := roster.NewSigningKey("root")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "server")
	if status, says := runProgram(t, "init", dir, "--root", root.Verifier(), "--timezone", "Europe/Berlin"); status != exitDone {
		t.Fatalf("status %d, %s", status, says)
	}
	f := &folder{path: dir}
	if more != "" {
		setNotify(t, dir, more)
	}
	return f
}

// setNotify puts another section [notify] into a folder's tipbox.toml.
func setNotify(t *testing.T, dir, section string) {
	t.Helper()
	file := filepath.Join(dir, configName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok := strings.Cut(string(text), "[notify]")
	if !ok {
		t.Fatalf("no [notify] in %s", text)
	}
	if err := os.WriteFile(file, []byte(before+"[notify]\n"+section), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestInitNotifiesNobodyAndSaysHow reads what init writes, and then the example
// in it as if it were meant.
func TestInitNotifiesNobodyAndSaysHow(t *testing.T) {
	f := newFolder(t, "")
	if err := f.readConfig(); err != nil {
		t.Fatal(err)
	}
	if c := f.config.Notify; len(c.Hours)+len(c.Mail)+len(c.Webhook) > 0 || c.Always || c.SMTP != (smtpConfig{}) {
		t.Errorf("%+v", c)
	}
	text, err := os.ReadFile(f.file(configName))
	if err != nil {
		t.Fatal(err)
	}
	before, example, ok := strings.Cut(string(text), "# [notify.smtp]\n")
	if !ok {
		t.Fatalf("no example in %s", text)
	}
	example, _, _ = strings.Cut(example, tlsExample)
	meant := strings.ReplaceAll("\n"+example, "\n# ", "\n")
	meant = strings.ReplaceAll(meant, "\n#\n", "\n\n")
	before = strings.Replace(before, "hours = []", `hours = ["14:00", "09:00"]`, 1)
	if err := os.WriteFile(f.file(configName), []byte(before+"[notify.smtp]"+meant), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.readConfig(); err != nil {
		t.Fatal(err)
	}
	c := f.config.Notify
	if len(c.Hours) != 2 || c.SMTP != (smtpConfig{"mail.example.org:587", "desk@example.org", "desk", "smtp.password", "ca.pem"}) ||
		len(c.Mail) != 1 || c.Mail[0] != (mailConfig{"alice", "alice@example.org"}) ||
		len(c.Webhook) != 1 || c.Webhook[0] != (webhookConfig{"bob", "https://chat.example.org/hooks/1", "bob.token", "ca.pem"}) {
		t.Errorf("%+v", c)
	}
}

func TestNotifySettingsAreChecked(t *testing.T) {
	const (
		smtp = "[notify.smtp]\nserver = \"mail.example.org:587\"\nfrom = \"desk@example.org\"\n"
		mail = "[[notify.mail]]\nmember = \"alice\"\naddress = \"alice@example.org\"\n"
		hook = "[[notify.webhook]]\nmember = \"alice\"\nurl = \"https://chat.example.org\"\n"
	)
	hookTo := func(url string) string { return strings.Replace(hook, "https://chat.example.org", url, 1) }
	tests := []struct{ section, says string }{
		{smtp + mail + hook, ""},
		{"hours = [\"09:00\"]\n" + hook, ""},
		{"hours = [\"23:30\", \"00:30\"]\n" + hook, ""},
		{hookTo("http://127.0.0.1:8065/hooks/1"), ""},
		{hookTo("http://[::1]/"), ""},
		{hookTo("http://localhost/"), ""},
		{smtp + "user = \"desk\"\npassword_file = \"/there/is/none\"\n" + mail, ""}, // which is seen where it is used

		{"hour = []", "no such setting"},
		{smtp + "password = \"secret\"\n", "no such setting"},
		{"hours = [\"9:00\"]\n" + hook, "hours: \"9:00\" is no time of day"},
		{"hours = [\"24:00\"]\n" + hook, "hours: \"24:00\" is no time of day"},
		{"hours = [\"09:00\", \"09:59\"]\n" + hook, "hours: two of them are less than an hour apart"},
		{"hours = [\"09:00\", \"09:00\"]\n" + hook, "hours: two of them are less than an hour apart"},
		{"hours = [\"23:30\", \"00:15\"]\n" + hook, "hours: two of them are less than an hour apart"},
		{"hours = [\"09:00\"]\n", "nobody to tell"},
		{mail, "smtp: server: \"\" is no host:port"},
		{strings.Replace(smtp, ":587", "", 1), "smtp: server: \"mail.example.org\" is no host:port"},
		{strings.Replace(smtp, ":587", ":70000", 1), "is no host:port"},
		{strings.Replace(smtp, ":587", ":465", 1), "on port 465 there is no STARTTLS"},
		{strings.Replace(smtp, "desk@", "", 1), "smtp: from: \"example.org\" is no plain address"},
		{smtp + "user = \"desk\"\n", "smtp: user and password_file: there must be both"},
		{smtp + "password_file = \"desk\"\n", "smtp: user and password_file: there must be both"},
		{smtp + "user = \"de\\u0000sk\"\npassword_file = \"x\"\n", "control character"},
		{smtp + strings.Replace(mail, "alice\"", "Alice\"", 1), "mail: member \"Alice\""},
		{smtp + mail + mail, "mail: member alice is there twice"},
		{smtp + strings.Replace(mail, "alice@", "Alice <alice@", 1), "mail: address of alice: \"Alice <alice@example.org\" is no plain address"},
		{smtp + strings.Replace(mail, "alice@", "爱丽丝@", 1), "is no plain address"},
		{smtp + strings.Replace(mail, "alice@", "alice@example.org\\r\\nDATA@", 1), "is no plain address"},
		{smtp + strings.Replace(mail, "alice@", strings.Repeat("a", 255)+"@", 1), "is no plain address"},
		{hook + hook, "webhook: member alice is there twice"},
		{hookTo("http://chat.example.org"), "webhook: url of alice: http would show it to everybody"},
		{hookTo("http://127.0.0.1.example.org"), "http would show it to everybody"},
		{hookTo("ftp://chat.example.org"), "must begin with https://"},
		{hookTo("https://"), "is no address such as"},
		{hookTo("https://u:secret@chat.example.org"), "a secret belongs into token_file"},
		{hookTo("https://chat.example.org/" + strings.Repeat("x", 1024)), "is no address such as"},
	}
	for _, test := range tests {
		f := newFolder(t, test.section)
		err := f.readConfig()
		if test.says == "" {
			if err != nil {
				t.Errorf("%s\n%v", test.section, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), configName) {
			t.Errorf("%s\ngives %v, want %q", test.section, err, test.says)
		} else if strings.Contains(test.section, "u:secret") && strings.Contains(err.Error(), "secret@") {
			t.Errorf("it shows the secret: %v", err)
		}
	}
}

func TestSecretsAreForUsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	tests := []struct {
		text string
		mode os.FileMode
		want string
		says string
	}{
		{"correct horse\n", 0o600, "correct horse", ""},
		{"correct horse\r\n", 0o400, "correct horse", ""},
		{"correct horse", 0o640, "", "others can read"},
		{"correct horse", 0o604, "", "others can read"},
		{"", 0o600, "", "must hold one line"},
		{"\n", 0o600, "", "must hold one line"},
		{"one\ntwo\n", 0o600, "", "must hold one line"},
		{strings.Repeat("x", maxSecret+1), 0o600, "", "must hold one line"},
	}
	for _, test := range tests {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		got, err := readSecret(file)
		if got != test.want || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.20q with mode %04o: %q, %v", test.text, test.mode, got, err)
		}
	}
}

// TestCredentialsAreReadAsSystemdLeavesThem: it gives a file to a service by a list that
// its mode does not show.
func TestCredentialsAreReadAsSystemdLeavesThem(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "tipbox.smtp", "secret\n")
	file := filepath.Join(dir, "tipbox.smtp")
	if err := os.Chmod(file, 0o440); err != nil {
		t.Fatal(err)
	}
	f := &folder{path: t.TempDir()}
	if got, err := readSecret(f.besides(file)); err == nil {
		t.Errorf("a file that others can read is a secret: %q", got)
	}
	if got, err := readSecret(f.besides("credential:tipbox.smtp")); err == nil || !strings.Contains(err.Error(), "/run/credentials/tipboxd.service/tipbox.smtp") {
		t.Errorf("without systemd: %q, %v", got, err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, name := range []string{"credential:tipbox.smtp", "credential:../x/tipbox.smtp"} {
		if got, err := readSecret(f.besides(name)); err != nil || got != "secret" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
