package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tipbox/crypto/roster"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// fetch has a member fetch a bundle and returns its path.
func (b *bench) fetch(member string, args ...string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "tips.bundle")
	b.ok(member, append([]string{"fetch", "-o", path}, args...)...)
	return path
}

// entries reads an archive.
func entries(t testing.TB, path string) (headers []*tar.Header, contents [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
		contents = append(contents, must(io.ReadAll(r)))
	}
}

// archive writes one.
func archive(t testing.TB, headers []*tar.Header, contents [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i, h := range headers {
		h.Size = int64(len(contents[i]))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(contents[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// rewritten is a bundle's archive after a change.
func rewritten(t testing.TB, path string, change func(headers []*tar.Header, contents [][]byte) ([]*tar.Header, [][]byte)) string {
	t.Helper()
	headers, contents := change(entries(t, path))
	to := filepath.Join(t.TempDir(), "changed.bundle")
	if err := os.WriteFile(to, archive(t, headers, contents), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func plain(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600}
}

func TestBundleListsAsTheDeskDoes(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	for i := range 7 {
		channel := []string{"off-book-funds", "bribery"}[i%2]
		must(b.Service.Submit(context.Background(), b.Draft(), tipbox.Submission{Channel: channel, Text: "one", Lang: "en"}))
	}
	for i, item := range b.Inbox("bob") {
		b.ok("bob", "ack", item.Tip, "-m", "x")
		if i%3 == 0 {
			b.ok("bob", "accept", item.Tip)
			b.ok("bob", "assign", item.Tip, "bob", "--due", time.Now().AddDate(0, 0, 20-i).Format(time.DateOnly))
		}
	}
	bundle, err := openBundle(b.fetch("bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer bundle.Close()
	for _, filter := range []tipbox.InboxFilter{
		{}, {Channel: "bribery"}, {Owner: "bob"}, {State: tipbox.StateAssigned}, {ByDue: true}, {ByDue: true, Owner: "bob"},
		{State: tipbox.StateClosed}, {Over: true}, {Owner: "alice"}, {Channel: "bribery", State: tipbox.StateAcknowledged},
	} {
		want, _, err := b.Service.Inbox(context.Background(), b.Member("bob"), filter, "", tipbox.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{1, 2, 3, 200} {
			var got []tipbox.InboxItem
			for cursor, pages := "", 0; ; pages++ {
				page, err := bundle.Inbox(context.Background(), filter, cursor, limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(page.Items) > limit || page.Next != "" && page.Next <= cursor || pages > 10 {
					t.Fatalf("%+v: a page of %d, next %q after %q", filter, len(page.Items), page.Next, cursor)
				}
				got = append(got, page.Items...)
				if cursor = page.Next; cursor == "" {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v by %d: %s", filter, limit, diff)
			}
		}
	}
	for _, cursor := range []string{"x", "-1", "99999999999999999999", "2026-11-22/aaaa"} {
		if _, err := bundle.Inbox(context.Background(), tipbox.InboxFilter{}, cursor, 1); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

func TestBundleThatWasCutIsRefused(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one", tipboxtest.File{Name: "a", Content: "b"})
	whole := must(os.ReadFile(b.fetch("alice")))
	if _, err := readBundle(bytes.NewReader(whole), int64(len(whole))); err != nil {
		t.Fatal(err)
	}
	const trailer = 2 * 512 // zeros behind the last entry, which may be cut as they like
	for n := 0; n < len(whole)-trailer; n += 100 {
		if _, err := readBundle(bytes.NewReader(whole[:n]), int64(n)); !errors.Is(err, errBundle) {
			t.Fatalf("cut to %d bytes of %d: %v", n, len(whole), err)
		}
	}
	for _, more := range []string{"\x00", "x", strings.Repeat("\x00", 512), string(whole)} {
		longer := append(bytes.Clone(whole), more...)
		if _, err := readBundle(bytes.NewReader(longer), int64(len(longer))); !errors.Is(err, errBundle) {
			t.Errorf("with %d bytes behind it: %v", len(more), err)
		}
	}
}

func TestHostileBundleIsRefused(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one", tipboxtest.File{Name: "a", Content: "b"})
	b.Submit("two")
	tip := b.tip()
	path := b.fetch("alice")
	type change = func([]*tar.Header, [][]byte) ([]*tar.Header, [][]byte)
	insert := func(h *tar.Header, content string) change {
		return func(hs []*tar.Header, cs [][]byte) ([]*tar.Header, [][]byte) {
			at := len(hs) - 1 // before the end
			return slices.Insert(hs, at, h), slices.Insert(cs, at, []byte(content))
		}
	}
	replace := func(i int, content string) change {
		return func(hs []*tar.Header, cs [][]byte) ([]*tar.Header, [][]byte) {
			cs[i] = []byte(content)
			return hs, cs
		}
	}
	without := func(i int) change {
		return func(hs []*tar.Header, cs [][]byte) ([]*tar.Header, [][]byte) {
			return slices.Delete(hs, i, i+1), slices.Delete(cs, i, i+1)
		}
	}
	for name, c := range map[string]struct {
		change change
		says   string
	}{
		"a tip twice":          {insert(plain(tipPart(tip)), "{}"), "there twice"},
		"an unknown name":      {insert(plain("README"), "x"), "has no place in it"},
		"a second end":         {insert(plain(bundleEndName), ""), "behind its end"},
		"a path upwards":       {insert(plain("tips/../../.bashrc"), "x"), "has no place in it"},
		"an absolute path":     {insert(plain("/etc/passwd"), "x"), "has no place in it"},
		"a tip upwards":        {insert(plain("tips/../aaaaaaaaaaaaa.json"), "x"), "has no place in it"},
		"no tip's name":        {insert(plain("tips/AAAAAAAAAAAAAAAA.json"), "{}"), "has no place in it"},
		"a blob with dots":     {insert(plain("blobs/../aaaaaaaaaaaaaaaa"), "x"), "has no place in it"},
		"a long name":          {insert(plain(strings.Repeat("x", 300)), "x"), "xxx"},
		"a terminal's name":    {insert(plain("a\x1b[2Jb"), "x"), "has"},
		"a folder":             {insert(&tar.Header{Typeflag: tar.TypeDir, Name: "tips/"}, ""), "is no plain file"},
		"a symbolic link":      {insert(&tar.Header{Typeflag: tar.TypeSymlink, Name: tipPart("aaaaaaaaaaaaaaaa"), Linkname: "/etc/passwd"}, ""), "is no plain file"},
		"a hard link":          {insert(&tar.Header{Typeflag: tar.TypeLink, Name: tipPart("aaaaaaaaaaaaaaaa"), Linkname: tipPart(tip)}, ""), "is no plain file"},
		"a device":             {insert(&tar.Header{Typeflag: tar.TypeChar, Name: tipPart("aaaaaaaaaaaaaaaa")}, ""), "is no plain file"},
		"a pipe":               {insert(&tar.Header{Typeflag: tar.TypeFifo, Name: tipPart("aaaaaaaaaaaaaaaa")}, ""), "is no plain file"},
		"a global header":      {insert(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}, ""), "is no plain file"},
		"an extended header":   {insert(&tar.Header{Typeflag: tar.TypeReg, Name: tipPart("aaaaaaaaaaaaaaaa"), PAXRecords: map[string]string{"SCHILY.xattr.x": "y"}}, "{}"), "has the record"},
		"no head":              {without(0), "its entry 1"},
		"no roster":            {without(1), "its entry 2"},
		"no inbox":             {without(2), "its entry 3"},
		"a newer version":      {replace(0, `{"version":2,"other":{}}`), "of version 2"},
		"no version":           {replace(0, `{}`), "of version 0"},
		"a head of no JSON":    {replace(0, `x`), bundleHeadName},
		"another member's":     {replace(0, `{"version":1,"member":"bob\u001b[2J"}`), "was fetched by"},
		"a huge head":          {replace(0, `{"version":1}`+strings.Repeat(" ", maxBundleHead)), "is over"},
		"a huge roster":        {replace(1, strings.Repeat("x", maxBundleRoster+1)), "is over"},
		"no roster's text":     {replace(1, "x"), "not signed by the right key"},
		"an inbox of no JSON":  {replace(2, "x\n"), "line 1"},
		"an inbox of no tips":  {replace(2, `{"tip":"../../x"}`+"\n"), "no tip's name"},
		"an inbox's huge line": {replace(2, `{"tip":"`+strings.Repeat("x", maxInboxLine)+`"}`), "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := rewritten(t, path, c.change)
			for _, command := range [][]string{{"inbox"}, {"read", tip}, {"save", tip, "-o", filepath.Join(t.TempDir(), "x")}} {
				status, stdout, stderr := b.tipbox("alice", append([]string{"--bundle", changed}, command...)...)
				if status != exitFailed || stdout != "" || !strings.Contains(stderr, c.says) || strings.Contains(stderr, "\x1b") {
					t.Errorf("%v: status %d: %s%s", command, status, stdout, stderr)
				}
			}
		})
	}
	for _, no := range []string{t.TempDir(), "/dev/null"} {
		if _, err := openBundle(no); !errors.Is(err, errBundle) {
			t.Errorf("%s: %v", no, err)
		}
	}
}

// TestHostileSizesAreRefused writes headers that the tar library would not.
func TestHostileSizesAreRefused(t *testing.T) {
	for name, header := range map[string]func(h []byte){
		"over the end":  func(h []byte) { copy(h[124:], "00000177777\x00") },
		"8 GiB":         func(h []byte) { copy(h[124:], "77777777777\x00") },
		"2^62, base256": func(h []byte) { copy(h[124:136], "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00") },
		"below zero":    func(h []byte) { copy(h[124:136], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0") },
		"sparse":        func(h []byte) { h[156] = 'S' },
		"old contents":  func(h []byte) { h[156] = '7' },
	} {
		t.Run(name, func(t *testing.T) {
			data := smallBundle(t)
			// The header of the first tip stands behind three entries of a block each.
			h := data[6*512 : 7*512]
			header(h)
			copy(h[148:], "        ")
			sum := 0
			for _, c := range h {
				sum += int(c)
			}
			copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
			if _, err := readBundle(bytes.NewReader(data), int64(len(data))); !errors.Is(err, errBundle) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// smallBundle is one of a tip that is none.
func smallBundle(t testing.TB) []byte {
	names := []string{bundleHeadName, bundleRosterName, bundleInboxName, tipPart("aaaaaaaaaaaaaaaa"), blobPart("aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb"), bundleEndName}
	var headers []*tar.Header
	for _, name := range names {
		headers = append(headers, plain(name))
	}
	return archive(t, headers, [][]byte{
		[]byte(`{"version":1,"member":"alice","day":"2026-11-22","files":true}`), []byte("a roster\n"),
		[]byte(`{"tip":"aaaaaaaaaaaaaaaa","channel":"bribery","state":"received"}` + "\n"), []byte(`{"tip":"aaaaaaaaaaaaaaaa"}`), []byte("sealed"), nil,
	})
}

func TestWhatABundleHoldsIsVerified(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit(tipboxtest.Canary, tipboxtest.File{Name: "a", Content: strings.Repeat("b", 1000)})
	b.Submit(tipboxtest.Canary, tipboxtest.File{Name: "a", Content: strings.Repeat("c", 1000)})
	first, second := b.Inbox("alice")[0].Tip, b.Inbox("alice")[1].Tip
	path := b.fetch("alice")
	index := func(hs []*tar.Header, name string) int {
		return slices.IndexFunc(hs, func(h *tar.Header) bool { return h.Name == name })
	}
	withTip := func(change func(file *tipbox.TipFile)) string {
		return rewritten(t, path, func(hs []*tar.Header, cs [][]byte) ([]*tar.Header, [][]byte) {
			file := new(tipbox.TipFile)
			i := index(hs, tipPart(first))
			if err := json.Unmarshal(cs[i], file); err != nil {
				t.Fatal(err)
			}
			change(file)
			cs[i] = must(json.Marshal(file))
			return hs, cs
		})
	}
	swapped := rewritten(t, path, func(hs []*tar.Header, cs [][]byte) ([]*tar.Header, [][]byte) {
		i, j := index(hs, tipPart(first)), index(hs, tipPart(second))
		cs[i], cs[j] = cs[j], cs[i]
		return hs, cs
	})
	renamed := withTip(func(file *tipbox.TipFile) {
		other := new(tipbox.TipFile)
		hs, cs := entries(t, path)
		if err := json.Unmarshal(cs[index(hs, tipPart(second))], other); err != nil {
			t.Fatal(err)
		}
		*file = *other
		file.Tip = first
	})
	for name, c := range map[string]struct{ path, says string }{
		"two tips swapped":  {swapped, "stands in the place of"},
		"another tip":       {renamed, "belongs to another tip"},
		"a message altered": {withTip(func(file *tipbox.TipFile) { file.Events[0].Sealed[200] ^= 1 }), "not the one that was signed"},
		"an event altered": {withTip(func(file *tipbox.TipFile) {
			file.Events[0].Note = strings.Replace(file.Events[0].Note, "2026-11", "2026-10", 1)
		}), "entry 1"},
		"no keyslots":  {withTip(func(file *tipbox.TipFile) { file.Slots = nil }), "no keyslots"},
		"no events":    {withTip(func(file *tipbox.TipFile) { file.Events = nil }), "no events"},
		"an empty tip": {withTip(func(file *tipbox.TipFile) { *file = tipbox.TipFile{Tip: first} }), "no keyslots"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := b.tipbox("alice", "--bundle", c.path, "read", first)
			if status != exitFailed || !strings.Contains(stderr, c.says) || strings.Contains(stdout, tipboxtest.Canary) {
				t.Errorf("status %d: %s%s", status, stdout, stderr)
			}
		})
	}
	files := rewritten(t, path, func(hs []*tar.Header, cs [][]byte) ([]*tar.Header, [][]byte) {
		var at []int
		for i, h := range hs {
			if strings.HasPrefix(h.Name, "blobs/") {
				at = append(at, i)
			}
		}
		cs[at[0]], cs[at[1]] = cs[at[1]], cs[at[0]]
		return hs, cs
	})
	out := filepath.Join(t.TempDir(), "out")
	b.fails("alice", exitFailed, "opening an attachment", "--bundle", files, "save", first, "-o", out)
	if left := must(os.ReadDir(out)); len(left) > 0 {
		t.Errorf("saved: %v", left)
	}
}

func TestBundleWithAnOldRosterIsRefused(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	old := b.fetch("alice")
	b.Strike("bob")
	b.Install()
	newer := b.fetch("alice")
	b.ok("alice", "--bundle", newer, "read", tip)
	b.fails("alice", exitFailed, "this bundle is older than one read before", "--bundle", old, "read", tip)
	text := must(os.ReadFile(filepath.Join(b.home("alice"), "roster.note")))
	if string(text) != string(b.Service.SignedRoster()) {
		t.Error("the newer roster was not kept")
	}
}

func TestFetchLeavesOutWhatTheDeskHasLost(t *testing.T) {
	blobs := mem.NewBlobs()
	b := newBench(t, tipboxtest.Config{Blobs: blobs})
	b.Submit("one", tipboxtest.File{Name: "cut", Content: strings.Repeat("x", 3000)}, tipboxtest.File{Name: "lost", Content: "y"}, tipboxtest.File{Name: "whole", Content: "w"}, tipboxtest.File{Name: "altered", Content: strings.Repeat("z", 9000)})
	tip := b.tip()
	files := b.Open("alice", tip).Messages[0].Files
	ctx := context.Background()
	put := func(blob string, data []byte) {
		t.Helper()
		if err := blobs.Remove(ctx, blob); err != nil {
			t.Fatal(err)
		}
		if data == nil {
			return
		}
		w := must(blobs.Create(ctx, blob))
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	stored := b.Stored()
	put(files[0].Blob, stored["blob "+files[0].Blob][:700])
	put(files[1].Blob, nil)
	altered := bytes.Clone(stored["blob "+files[3].Blob])
	altered[len(altered)-1] ^= 1
	put(files[3].Blob, altered)
	path := filepath.Join(t.TempDir(), "tips.bundle")
	status, stdout, stderr := b.tipbox("alice", "fetch", "-o", path)
	if status != exitFailed || !strings.Contains(stdout, path) || strings.Count(stderr, "left out: tip "+tip) != 3 {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	out := filepath.Join(t.TempDir(), "out")
	b.fails("alice", exitFailed, "not in this bundle", "--bundle", path, "save", tip, "-o", out)
	if got := must(os.ReadFile(filepath.Join(out, "whole"))); string(got) != "w" {
		t.Errorf("the whole file: %q", got)
	}
	if left := must(os.ReadDir(out)); len(left) != 1 {
		t.Errorf("saved: %v", left)
	}
	put(files[0].Blob, stored["blob "+files[0].Blob])
	put(files[1].Blob, stored["blob "+files[1].Blob])
	put(files[3].Blob, stored["blob "+files[3].Blob])
}

func TestFetchWritesAllOrNothingAndOverNothing(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip, dir := b.tip(), t.TempDir()
	path := filepath.Join(dir, "tips.bundle")
	b.fails("alice", exitFailed, "not found", "fetch", "-o", path, "aaaaaaaaaaaaaaaa", tip)
	b.fails("alice", exitUsage, "no tip's name", "fetch", "-o", path, "../x")
	if left := must(os.ReadDir(dir)); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	b.ok("alice", "fetch", "-o", path, tip, tip) // named twice, there once
	b.ok("alice", "--bundle", path, "read", tip)
	before := must(os.ReadFile(path))
	b.fails("alice", exitFailed, "never written over", "fetch", "-o", path)
	if after := must(os.ReadFile(path)); !bytes.Equal(before, after) {
		t.Error("the bundle has changed")
	}
	if left := must(os.ReadDir(dir)); len(left) != 1 {
		t.Errorf("it left %v", left)
	}
	b.fails("alice", exitUsage, "leave --bundle out", "--bundle", path, "fetch", "-o", filepath.Join(dir, "x"))
	// One that appears meanwhile is not written over either.
	root := must(os.OpenRoot(dir))
	defer root.Close()
	if err := os.WriteFile(filepath.Join(dir, "part"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := publishNew(root, "part", "tips.bundle"); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsOverIsFetchedIfItIsNamed(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	b.Submit("two")
	tip := b.tip()
	b.ok("alice", "decline", tip, "--scope", "-m", "no")
	if got := b.ok("alice", "--bundle", b.fetch("alice"), "--json", "inbox"); strings.Contains(got, tip) {
		t.Errorf("what is declined is among what is open: %s", got)
	}
	if got := b.ok("alice", "--bundle", b.fetch("alice", tip), "--json", "inbox", "--over"); !strings.Contains(got, tip) {
		t.Errorf("what was named is not listed: %s", got)
	}
}

func FuzzReadBundle(f *testing.F) {
	small := smallBundle(f)
	f.Add(small)
	f.Add(small[:len(small)-1024])
	f.Add(small[:3000])
	f.Add(archive(f, []*tar.Header{plain(bundleHeadName), plain(bundleRosterName), plain(bundleInboxName), plain(bundleEndName)},
		[][]byte{[]byte(`{"version":1}`), nil, nil, nil}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := readBundle(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		ctx := context.Background()
		if _, err := b.Inbox(ctx, tipbox.InboxFilter{ByDue: true}, "", 1); err != nil {
			t.Error(err)
		}
		for name := range b.parts {
			if tip, ok := strings.CutPrefix(strings.TrimSuffix(name, ".json"), "tips/"); ok {
				if file, err := b.Tip(ctx, tip); err == nil {
					file.Last()
					file.Blobs()
					tipbox.OpenTip(file, tip, fuzzKey, new(roster.Roster))
				}
				continue
			}
			blob := strings.TrimPrefix(name, "blobs/")
			sealed, err := b.Attachment(ctx, blob[:16], blob)
			if err != nil {
				t.Error(err)
				continue
			}
			if n, err := io.Copy(io.Discard, sealed); err != nil || n > int64(len(data)) {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
		}
	})
}

var fuzzKey = must(roster.NewMemberKey("alice"))
