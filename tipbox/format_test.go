package tipbox_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func TestStoreWithoutAMarkIsOfTheFirstFormat(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("before there were marks")
	if format, err := tipbox.StoreFormat(ctx, o.Store); format != 1 || err != nil {
		t.Errorf("format %d, %v", format, err)
	}
	for range 2 {
		if err := o.Service.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if rec, err := o.Store.Get(ctx, "meta/format"); err != nil || string(rec.Value) != strconv.Itoa(tipbox.Format) {
			t.Errorf("the mark is %q, %v", rec.Value, err)
		}
	}
}

func TestServiceRefusesANewerFormat(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Tolerate("meta/format")
	if err := o.Store.Apply(ctx, store.Put("meta/format", []byte(strconv.Itoa(tipbox.Format+1)))); err != nil {
		t.Fatal(err)
	}
	if err := o.Service.Migrate(ctx); !errors.Is(err, tipbox.ErrNewer) {
		t.Errorf("a newer format: %v", err)
	}
	if report, err := o.Service.Check(ctx); err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), "meta/format") {
		t.Errorf("check: %+v, %v", report, err)
	}
}

func TestDamagedFormatMarkKeepsNobodyOut(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Tolerate("meta/format")
	if err := o.Store.Apply(ctx, store.Put("meta/format", []byte("?"))); err != nil {
		t.Fatal(err)
	}
	if err := o.Service.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if report, err := o.Service.Check(ctx); err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), "meta/format") {
		t.Errorf("check: %+v, %v", report, err)
	}
	if format, err := tipbox.StoreFormat(ctx, o.Store); format != tipbox.Format || err != nil {
		t.Errorf("format %d, %v", format, err)
	}
}
