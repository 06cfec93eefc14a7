package tipbox_test

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"tipbox/crypto/voucher"
	"tipbox/store/bolt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// BenchmarkPay is all that the server does to pay a voucher on bbolt: it verifies the
// payer's signature and the voucher's, and commits. BenchmarkPayParallel is the same
// by many payers at once, who share commits.
func BenchmarkPay(b *testing.B) {
	pay := newPayBench(b)
	for i := 0; b.Loop(); i++ {
		pay(b, uint64(i))
	}
}

func BenchmarkPayParallel(b *testing.B) {
	pay := newPayBench(b)
	n := make(chan uint64, 1)
	n <- 0
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := <-n
			n <- i + 1
			pay(b, i)
		}
	})
}

// newPayBench returns what pays the voucher of a number. They are made beforehand, so
// many; what is paid again is only found.
func newPayBench(b *testing.B) func(b *testing.B, i uint64) {
	b.Helper()
	db, err := bolt.Open(filepath.Join(b.TempDir(), "tipbox.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	o := tipboxtest.New(b, tipboxtest.Config{Store: db})
	o.Rewards()
	d := *o.Service.Roster().Denomination("cny-1000")
	key, penny := tipboxtest.IssuingKey(b, d.ID), o.Member("penny")
	type paid struct {
		note []byte
		text string
	}
	made := make([]paid, 2000)
	if testing.Short() {
		made = made[:100]
	}
	for i := range made {
		var seed [32]byte
		binary.BigEndian.PutUint64(seed[:], uint64(i))
		request, err := voucher.Blind(d, seed, o.Root.Verifier())
		if err != nil {
			b.Fatal(err)
		}
		signature, err := key.Sign(request.Blinded)
		if err != nil {
			b.Fatal(err)
		}
		v, err := request.Finish(signature)
		if err != nil {
			b.Fatal(err)
		}
		note, err := tipbox.VoucherPayment(v, &d, o.Service.Today()).Sign(o.Key("penny").SigningKey)
		if err != nil {
			b.Fatal(err)
		}
		made[i] = paid{note, v.Compact()}
	}
	return func(b *testing.B, i uint64) {
		if i == uint64(len(made)) {
			b.Log("more than were made: the rest is recognised as sent twice")
		}
		p := made[i%uint64(len(made))]
		if err := o.Service.Pay(b.Context(), penny, p.note, p.text); err != nil {
			b.Fatal(err)
		}
	}
}
