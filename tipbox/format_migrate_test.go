package tipbox

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/store/mem"
)

func TestEveryFormatHasItsMigration(t *testing.T) {
	if len(migrations) != Format-1 {
		t.Errorf("%d migrations to format %d", len(migrations), Format)
	}
}

// errPower is the end of a process.
var errPower = errors.New("the power is gone")

// A failingStore fails at an Apply, before or after it is done.
type failingStore struct {
	store.Store
	left  int // Applies until then
	after bool
}

func (s *failingStore) Apply(ctx context.Context, changes ...store.Change) error {
	if s.left--; s.left >= 0 {
		return s.Store.Apply(ctx, changes...)
	}
	if s.left == -1 && s.after {
		if err := s.Store.Apply(ctx, changes...); err != nil {
			return err
		}
	}
	return errPower
}

// invented are migrations as they may come: one record after the other, and from each
// new record the next one's.
func invented() []migration {
	each := func(from, to store.Key) migration {
		return func(ctx context.Context, s store.Store) error {
			return each(ctx, s, from, func(rec store.Record) error {
				name := strings.TrimPrefix(string(rec.Key), string(from))
				return s.Apply(ctx, store.Create(to+store.Key(name), append(rec.Value, '+')), store.DeleteAt(rec.Key, rec.Revision))
			})
		}
	}
	return []migration{each("a/", "b/"), each("b/", "c/")}
}

func TestMigrationsGoOnWhereTheyWereCutOff(t *testing.T) {
	ctx := t.Context()
	old := func() store.Store {
		s := mem.New()
		for i := range 4 {
			if err := s.Apply(ctx, store.Create(store.Key(fmt.Sprintf("a/%d", i)), []byte{'v'})); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	all := func(s store.Store) (lines []string) {
		err := each(ctx, s, "", func(rec store.Record) error {
			lines = append(lines, string(rec.Key)+"="+string(rec.Value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	want := []string{"c/0=v++", "c/1=v++", "c/2=v++", "c/3=v++", "meta/format=3"}
	cuts := 0
	for _, after := range []bool{false, true} {
		for left := 0; ; left++ {
			s := old()
			_, err := migrate(ctx, &failingStore{s, left, after}, invented())
			if err == nil {
				break
			}
			if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			cuts++
			if _, err := migrate(ctx, s, invented()); err != nil {
				t.Errorf("cut off after %d writes: %v", left, err)
			}
			if got := all(s); !slices.Equal(got, want) {
				t.Errorf("cut off after %d writes: %q", left, got)
			}
			if from, err := migrate(ctx, s, invented()); from != 3 || err != nil {
				t.Errorf("once more: from %d, %v", from, err)
			}
		}
	}
	if cuts < 20 {
		t.Errorf("cut off %d times", cuts)
	}
}

func TestNewerFormatIsRefusedUntouched(t *testing.T) {
	ctx := t.Context()
	s := mem.New()
	if err := s.Apply(ctx, store.Create(keyFormat, formatMark(4)), store.Create("a/0", nil)); err != nil {
		t.Fatal(err)
	}
	_, err := migrate(ctx, s, invented())
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "format 4") || !strings.Contains(err.Error(), "restore the backup") {
		t.Errorf("refused with %v", err)
	}
	if err := CheckFormat(ctx, s); !errors.Is(err, ErrNewer) {
		t.Errorf("a backup: %v", err)
	}
	if _, err := s.Get(ctx, "a/0"); err != nil {
		t.Error(err)
	}
	for _, mark := range []string{"", "0", "-1", "01", "x", "1 "} {
		if err := s.Apply(ctx, store.Put(keyFormat, []byte(mark))); err != nil {
			t.Fatal(err)
		}
		if _, err := StoreFormat(ctx, s); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("format %q: %v", mark, err)
		}
	}
}

var updateRecords = flag.Bool("update-records", false, "write what the records are like, if their format was never released")

// TestRecordsChangeOnlyWithTheFormat compares the fields of what is stored with those
// that its format had.
func TestRecordsChangeOnlyWithTheFormat(t *testing.T) {
	var now bytes.Buffer
	shapes := shapes{out: &now}
	for _, record := range []any{
		tipRecord{}, seal.Keyslots{}, InboxItem{}, erasure{}, formKey{}, figure{}, []awardFigure{}, Payout{}, roster.Mark{}, Census{},
	} {
		shapes.add(reflect.TypeOf(record))
	}
	golden := filepath.Join("testdata", "format", "records-"+strconv.Itoa(Format)+".txt")
	if *updateRecords {
		if err := os.WriteFile(golden, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	then, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if now.String() != string(then) {
		t.Errorf("records are not those of format %d any more, as %s has them. Raise Format and write a migration (one that does nothing will do for a new field); "+
			"if no release had this format yet, go test ./tipbox -run %s -update-records.\n%s", Format, golden, t.Name(), now.String())
	}
}

// shapes writes types, each once, by the fields that JSON has of them.
type shapes struct {
	out  *bytes.Buffer
	seen []reflect.Type
}

func (s *shapes) add(t reflect.Type) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(s.seen, t) {
		return
	}
	s.seen = append(s.seen, t)
	fmt.Fprintf(s.out, "%s\n", t)
	for i := range t.NumField() {
		f := t.Field(i)
		fmt.Fprintf(s.out, "\t%s %s %s\n", f.Name, f.Type, f.Tag.Get("json"))
	}
	for i := range t.NumField() {
		s.add(t.Field(i).Type)
	}
}
