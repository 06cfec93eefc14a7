package desk_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

func TestFiguresAndSampleOverTheWire(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	for range 5 {
		o.Submit("one")
	}
	address := serve(t, o)
	carol := client(t, o, address, o.Key("carol").SigningKey)
	figures, err := carol.Figures(ctx, "2026-11", "2026-11")
	if err != nil {
		t.Fatal(err)
	}
	want, err := o.Service.Figures(ctx, o.Member("carol"), "2026-11", "2026-11")
	if diff := cmp.Diff(want, figures); err != nil || diff != "" || len(figures.Rows) == 0 {
		t.Error(err, diff)
	}
	_, err = carol.Figures(ctx, "2026-11", "2026-1")
	wantErr(t, err, desk.ErrRefused)
	if list, err := carol.Sample(ctx, "2026-10"); err != nil || list.Validate("2026-10") != nil {
		t.Errorf("%+v, %v", list, err)
	}
	_, err = carol.Sample(ctx, "2026-11")
	wantErr(t, err, desk.ErrRefused)
	if !strings.Contains(err.Error(), "draw from 2026-12-02 on") {
		t.Error(err)
	}
	_, err = client(t, o, address, o.Key("alice").SigningKey).Sample(ctx, "2026-10")
	wantErr(t, err, tipbox.ErrForbidden)
	_, err = client(t, o, address, o.Key("peter").SigningKey).Figures(ctx, "2026-11", "2026-11")
	wantErr(t, err, tipbox.ErrForbidden)
}
