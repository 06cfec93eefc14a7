package tipbox_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func glance(t *testing.T, o *tipboxtest.Org) *tipbox.Glance {
	t.Helper()
	g, err := tipbox.TakeGlance(ctx, o.Store, o.Blobs, o.Service.Today(), true)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGlanceSeesWhatIsAmissWithTheNewestTips(t *testing.T) {
	for name, damage := range map[string]struct {
		key  string // of the record that is lost, with the tip's id for ID
		says string
	}{
		"keyslots": {"slots/ID", "keyslots"},
		"mailbox":  {"box", "its mailbox"},
		"message":  {"sealed/ID/000001", "message 1"},
		"event":    {"event/ID/000002", "there are 1 messages"},
		"file":     {"blob", "file 1"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tipboxtest.New(t, tipboxtest.Config{})
			o.Submit("one with a file", tipboxtest.File{Name: "a.txt", Type: "text/plain", Content: "content"})
			tip := o.Inbox("alice")[0].Tip
			o.Reply("alice", tip, "Thank you.")
			if g := glance(t, o); len(g.Problems) > 0 || g.Orphans > 0 || g.Ahead != "" || g.Roster != o.Service.Roster().Mark() || g.Format != 1 {
				t.Fatalf("a store that is whole: %+v", g)
			}
			o.Tolerate("tip ")
			switch damage.key {
			case "box":
				recs, err := o.Store.Scan(ctx, "box/", "", 1)
				if err != nil || len(recs) != 1 {
					t.Fatal(recs, err)
				}
				lose(t, o, string(recs[0].Key))
			case "blob":
				if err := o.Blobs.Remove(ctx, blobNames(t, o)[0]); err != nil {
					t.Fatal(err)
				}
			default:
				lose(t, o, strings.Replace(damage.key, "ID", tip, 1))
			}
			problems := glance(t, o).Problems
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tip) && strings.Contains(p, damage.says) }) {
				t.Errorf("seen: %q", problems)
			}
		})
	}
}

func lose(t *testing.T, o *tipboxtest.Org, key string) {
	t.Helper()
	if _, err := o.Store.Get(ctx, store.Key(key)); err != nil {
		t.Fatal(err)
	}
	if err := o.Store.Apply(ctx, store.Delete(store.Key(key))); err != nil {
		t.Fatal(err)
	}
}

func blobNames(t *testing.T, o *tipboxtest.Org) (names []string) {
	t.Helper()
	err := o.Blobs.List(ctx, func(name string, _ int64) error {
		names = append(names, name)
		return nil
	})
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names
}

func TestGlanceSeesAClockThatIsBehind(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Clock.Advance(48 * time.Hour)
	o.Submit("from the future")
	o.Clock.Advance(-48 * time.Hour)
	if g := glance(t, o); g.Ahead != "2026-11-24" {
		t.Errorf("ahead: %q", g.Ahead)
	}
}

func TestGlanceCountsBlobsOfNoTip(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one with a file", tipboxtest.File{Name: "a.txt", Type: "text/plain", Content: "content"})
	w, err := o.Blobs.Create(ctx, strings.Repeat("a", 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if g := glance(t, o); g.Orphans != 1 {
		t.Errorf("%d orphans", g.Orphans)
	}
	if _, err := o.Service.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
}
