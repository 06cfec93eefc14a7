package cmd_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tipbox/store"
	"tipbox/store/bolt"
)

// A theft is what somebody who stole the server's folder, and watched the line besides,
// tries: to tell the tips of a day apart by when they came and how large they are.
type theft struct {
	dir        string
	begin, end time.Time // of the sending
	tips       []stolenTip

	learned  map[string]string // what was, and how
	database []byte            // all of its file
	leaves   [][]string
	records  []store.Record
}

// A stolenTip is one that the thief knows all about but its id, which is what is to
// be found.
type stolenTip struct {
	id             string
	text, fileSize int
}

// The sizes are within one class: texts of less than 4 KiB, and the files that are
// padded to 102,400 bytes.
const (
	leastFile, mostFile = 100_353, 102_400
	mostText            = 2000
)

// mayTell is what README says that a stolen disk tells of the day that is not over:
// nothing else is allowed.
var mayTell = map[string]string{
	"order by the database's pages": "what was replaced lies in free pages until the day is over, and pages lie in the order of writing",
	"order by the files' inodes":    "the system's",
	"order by the files' births":    "the system's",
	"order by the files' status":    "the system's",
	"order by the folders of files": "the system's",
	"time of a file's birth":        "the system's",
	"time of a file's status":       "the system's",
	"time of a folder's status":     "the system's, and whoever starts the server looks into all",
	"time of the database's status": "the system's, of the last minute",
}

// TestAStolenFolderTellsNoHourAndNoSize takes the folder of a server that was killed: on
// the day on which tips came, and on a later one. What it finds out must be what README
// admits; of days that are over, nothing.
func TestAStolenFolderTellsNoHourAndNoSize(t *testing.T) {
	t.Parallel()
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 2)
	server := o.serve(t)
	o.sendSized(t, 10, leastFile) // on the first day, which makes folders for files
	server.stop(t)
	o.passDay(t)
	server = o.settled(t)

	w := &theft{dir: o.dir}
	known := make(map[string]bool)
	client := o.client(t)
	w.begin = time.Now()
	for _, i := range rand.Perm(24) {
		tip := stolenTip{text: 10 + i*(mostText-10)/23, fileSize: leastFile + (i*7%24)*(mostFile-leastFile)/23}
		o.sendSized(t, tip.text, tip.fileSize)
		all, err := o.inbox(client)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range all {
			if !known[item.Tip] && (len(w.tips) > 0 || len(all) == 2) {
				tip.id = item.Tip
			}
			known[item.Tip] = true
		}
		w.tips = append(w.tips, tip)
	}
	w.end = time.Now()
	server.end(syscall.SIGKILL)

	w.attack(t)
	for what, how := range w.learned {
		if mayTell[what] == "" {
			t.Errorf("on the same day the folder tells the %s (%s)", what, how)
		}
	}
	if len(w.learned) < 3 {
		t.Errorf("on the same day the thief learns only %q: this test shows nothing", w.learned)
	}

	o.passDay(t)
	o.settled(t).end(syscall.SIGKILL)
	w.attack(t)
	for what, how := range w.learned {
		t.Errorf("when the day is over the folder tells the %s (%s)", what, how)
	}
}

// sendSized sends a tip of so many bytes with a file of so many.
func (o *office) sendSized(t *testing.T, text, size int) {
	t.Helper()
	content := bytes.Repeat([]byte("1,000\n"), size/6+1)[:size]
	status, page, err := o.trySend(newSource(o.sources), strings.Repeat("x", text), file{"book.csv", content})
	if err != nil || status != http.StatusOK {
		t.Fatalf("a tip was answered with %d, %v\n%s", status, err, page)
	}
}

// passDay makes all of today's that the folder keeps until the day is over yesterday's.
func (o *office) passDay(t *testing.T) {
	t.Helper()
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Truncate(24 * time.Hour)
	err := filepath.WalkDir(filepath.Join(o.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(yesterday) {
			err = os.Chtimes(path, yesterday, yesterday)
		}
		return err
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(o.dir, "settle.day"), []byte(yesterday.Format(time.DateOnly)+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// settled starts the server and waits until it has settled the folder.
func (o *office) settled(t *testing.T) *serving {
	t.Helper()
	server := o.serve(t)
	for range 500 {
		if mark, _ := os.ReadFile(filepath.Join(o.dir, "settle.day")); string(mark) == time.Now().UTC().Format(time.DateOnly)+"\n" {
			return server
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the folder is not settled\n%s", server.output.Bytes())
	return nil
}

// attack learns what it can.
func (w *theft) attack(t *testing.T) {
	t.Helper()
	w.learned = make(map[string]string)
	w.readDatabase(t)
	w.searchTimes(t)
	seen := make(map[string][]float64) // what, of each tip
	for i, tip := range w.tips {
		for what, value := range w.look(t, tip.id) {
			if seen[what] == nil {
				seen[what] = make([]float64, len(w.tips))
			}
			seen[what][i] = value
		}
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		general, _, _ := strings.Cut(what, ":")
		for hidden, of := range map[string]func(int) int{
			"order":           func(i int) int { return i },
			"length of texts": func(i int) int { return w.tips[i].text },
			"length of files": func(i int) int { return w.tips[i].fileSize },
		} {
			if tau := kendall(seen[what], of); tau > 0.75 || tau < -0.75 {
				w.learn(t, hidden+" by "+general, fmt.Sprintf("%s, tau %.2f", what, tau))
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("the thief looks at %d things only", len(seen))
	}
}

func (w *theft) learn(t *testing.T, what, how string) {
	if w.learned[what] == "" {
		t.Logf("learned: the %s (%s)", what, how)
	}
	w.learned[what] = how
}

// kendall is how well values tell an order: 1 or -1 if perfectly, about 0 if not at all
// (Kendall's tau-a: pairs that are equal tell nothing). Of 24 tips in any order, one in
// some million is beyond 0.75.
func kendall(values []float64, of func(int) int) float64 {
	sum, pairs := 0, 0
	for i := range values {
		for j := range i {
			sum += cmp.Compare(values[i], values[j]) * cmp.Compare(of(i), of(j))
			pairs++
		}
	}
	return float64(sum) / float64(pairs)
}

// look is all that there is of a tip, as numbers.
func (w *theft) look(t *testing.T, id string) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	w.lookAtFiles(t, id, all)
	w.lookAtPages(id, all)
	w.lookAtRecords(id, all)
	return all
}

func (w *theft) lookAtFiles(t *testing.T, id string, all map[string]float64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(w.dir, "blobs", id[:2], id+"*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("the files of tip %s: %q, %v", id, names, err)
	}
	for kind, path := range map[string]string{"file": names[0], "folder": filepath.Dir(names[0])} {
		s := statx(t, path)
		for what, value := range map[string]float64{
			"by the files' inodes: number":         float64(s.Ino),
			"by the files' births: time":           seconds(s.Btime),
			"by the files' status: time":           seconds(s.Ctime),
			"by the files' times of modification:": seconds(s.Mtime),
			"by the files' times of access:":       seconds(s.Atime),
			"by the files' sizes: bytes":           float64(s.Size),
			"by the files' room: blocks":           float64(s.Blocks),
			"by the files' links: number":          float64(s.Nlink),
		} {
			what = strings.TrimPrefix(what, "by ")
			if kind == "folder" {
				what = "the folders of files: " + what
			}
			all[what] = value
		}
	}
}

// lookAtPages finds the tip's id on the pages of the database, also on those that are
// free.
func (w *theft) lookAtPages(id string, all map[string]float64) {
	for _, key := range []string{"", "tip/", "slots/", "event/", "sealed/"} {
		find := []byte(key + id)
		all["the database's pages: first "+key] = float64(bytes.Index(w.database, find))
		all["the database's pages: last "+key] = float64(bytes.LastIndex(w.database, find))
		all["the database's pages: number of "+key] = float64(bytes.Count(w.database, find))
	}
	older := 0
	for _, keys := range w.leaves {
		has := holds(keys, id)
		for _, tip := range w.tips {
			if between := tip.id > idOf(keys[0]) && tip.id < idOf(keys[len(keys)-1]); has && between && !holds(keys, tip.id) {
				older++ // the page was written before the other came
			}
			if between := id > idOf(keys[0]) && id < idOf(keys[len(keys)-1]); !has && between && holds(keys, tip.id) {
				older--
			}
		}
	}
	all["the database's pages: what was on them before"] = float64(older)
}

func holds(keys []string, id string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return idOf(key) == id })
}

// idOf is the id in the key of a line of an inbox.
func idOf(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// leavesOf are the keys of every leaf page of a database with lines of an inbox, also of
// those that are free.
func leavesOf(content []byte) (leaves [][]string) {
	const pageSize, header, element, leaf = 4096, 16, 16, 2
	for at := 0; at+pageSize <= len(content); at += pageSize {
		page := content[at:]
		if binary.NativeEndian.Uint16(page[8:]) != leaf {
			continue
		}
		var keys []string
		for i := range int(binary.NativeEndian.Uint16(page[10:])) {
			from := header + i*element
			if from+element > pageSize {
				break
			}
			begin := from + int(binary.NativeEndian.Uint32(page[from+4:]))
			end := begin + int(binary.NativeEndian.Uint32(page[from+8:]))
			if end <= len(page) && bytes.HasPrefix(page[begin:end], []byte("inbox/")) {
				keys = append(keys, string(page[begin:end]))
			}
		}
		if keys != nil {
			leaves = append(leaves, keys)
		}
	}
	return leaves
}

// readDatabase reads all records that could name a tip.
func (w *theft) readDatabase(t *testing.T) {
	t.Helper()
	path := filepath.Join(w.dir, "tipbox.db")
	var err error
	if w.database, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	w.database = bytes.TrimRight(w.database, "\x00") // room that was never used
	w.leaves = leavesOf(w.database)
	db, err := bolt.Open(path, &bolt.Config{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.records = nil
	for _, kind := range []store.Key{"tip/", "slots/", "event/", "sealed/", "box/", "inbox/", "state/", "due/"} {
		recs, err := db.Scan(t.Context(), kind, "", store.MaxScan)
		if err != nil {
			t.Fatal(err)
		}
		w.records = append(w.records, recs...)
	}
}

// lookAtRecords reads all that is in the clear.
func (w *theft) lookAtRecords(id string, all map[string]float64) {
	for _, rec := range w.records {
		if !strings.Contains(string(rec.Key), id) && !bytes.Contains(rec.Value, []byte(id)) {
			continue
		}
		kind, _, _ := strings.Cut(string(rec.Key), "/")
		all["records: revision of "+kind] = float64(rec.Revision)
		all["records: length of "+kind] = float64(len(rec.Value))
		all["records: place of "+kind] = rank(string(rec.Key[len(kind)+1:]))
		var doc map[string]any
		if json.Unmarshal(rec.Value, &doc) != nil {
			all["records: beginning of "+kind] = rank(string(rec.Value))
		}
		for name, value := range doc {
			if n, ok := value.(float64); ok {
				all["records: "+kind+" "+name] = n
			} else if text, ok := value.(string); ok {
				all["records: "+kind+" "+name] = rank(text)
			}
		}
	}
}

// rank is a number that orders texts by their first eight bytes.
func rank(text string) float64 {
	var first [8]byte
	copy(first[:], text)
	return float64(binary.BigEndian.Uint64(first[:]))
}

// searchTimes looks for times of the sending in what the system keeps of files, and in
// all that is in them besides what is sealed.
func (w *theft) searchTimes(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(w.dir, path)
		of := "the " + name
		switch {
		case strings.HasPrefix(name, "blobs") && d.IsDir():
			of = "a folder"
		case strings.HasPrefix(name, "blobs"):
			of = "a file"
		case name == "tipbox.db":
			of = "the database"
		}
		s := statx(t, path)
		for what, at := range map[string]unix.StatxTimestamp{"birth": s.Btime, "status": s.Ctime, "modification": s.Mtime, "access": s.Atime} {
			if when := time.Unix(at.Sec, int64(at.Nsec)); !when.Before(w.begin) && !when.After(w.end) {
				w.learn(t, "time of "+of+"'s "+what, name)
			}
		}
		if of == "a file" || !d.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err == nil && timesIn(bytes.TrimRight(content, "\x00"), w.begin, w.end) > 3 { // one or two may be chance
			w.learn(t, "times in "+of, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// timesIn counts times, written as programs do, that are within the span.
func timesIn(content []byte, begin, end time.Time) (n int) {
	type span struct{ from, to uint64 }
	units := []span{
		{uint64(begin.UnixMilli()), uint64(end.UnixMilli())},
		{uint64(begin.UnixMicro()), uint64(end.UnixMicro())},
		{uint64(begin.UnixNano()), uint64(end.UnixNano())},
	}
	from, to := uint32(begin.Unix()), uint32(end.Unix())
	for i := 0; i+8 <= len(content); i++ {
		for _, v := range [2]uint64{binary.LittleEndian.Uint64(content[i:]), binary.BigEndian.Uint64(content[i:])} {
			if s := uint32(v); s >= from && s <= to {
				n++
			}
			for _, unit := range units {
				if v >= unit.from && v <= unit.to {
					n++
				}
			}
		}
	}
	for at := begin.Truncate(time.Second); !at.After(end); at = at.Add(time.Second) {
		n += bytes.Count(content, fmt.Append(nil, at.Unix())) + bytes.Count(content, []byte(at.UTC().Format("15:04:05")))
	}
	return n
}

func seconds(at unix.StatxTimestamp) float64 { return float64(at.Sec) + float64(at.Nsec)/1e9 }

func statx(t *testing.T, path string) (s unix.Statx_t) {
	t.Helper()
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &s); err != nil {
		t.Fatal(err)
	}
	return s
}
