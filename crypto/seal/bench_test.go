package seal_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"filippo.io/age"

	"tipbox/crypto/seal"
)

// What a tip without attachments costs the server: a tip key, its keyslots for
// three investigators, its message.
func BenchmarkTip(b *testing.B) {
	readers := recipients(b, 3)
	doc := document(2000)
	for b.Loop() {
		tip := must(seal.NewTipKey())
		must(seal.SealKeyslots(slot(tip), readers...))
		must(seal.Message(doc, tip.Recipient()))
	}
}

func BenchmarkMessage(b *testing.B) {
	to := newKey(b).Recipient()
	doc := document(2000)
	for b.Loop() {
		must(seal.Message(doc, to))
	}
}

func BenchmarkOpenMessage(b *testing.B) {
	key := newKey(b)
	file := must(seal.Message(document(2000), key.Recipient()))
	for b.Loop() {
		must(seal.OpenMessage(file, key.Identity()))
	}
}

func BenchmarkOpenKeyslots(b *testing.B) {
	reader := newKey(b)
	tip := newKey(b)
	ks := must(seal.SealKeyslots(slot(tip), append(recipients(b, 2), reader.Recipient())...))
	for b.Loop() {
		must(ks.Open(slot(tip).Tip, reader.Identity()))
	}
}

// Attachments, in turns with age alone on the same bytes: "of-age" is how much
// of age's speed is left.
func BenchmarkAttachment(b *testing.B) {
	const size = 16 << 20
	key := newKey(b)
	content := noise(size)
	a := attach(b, content, key.Recipient())
	plain := sealed(b, content, key.Recipient())
	compare := func(b *testing.B, ours, ages func() error) {
		var us, them time.Duration
		took := func(f func() error) time.Duration {
			start := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		}
		for b.Loop() {
			us += took(ours)
			them += took(ages)
		}
		speed := func(d time.Duration) float64 { return float64(size) * float64(b.N) / 1e6 / d.Seconds() }
		b.ReportMetric(speed(us), "MB/s")
		b.ReportMetric(speed(them), "age-MB/s")
		b.ReportMetric(them.Seconds()/us.Seconds(), "of-age")
	}
	b.Run("seal", func(b *testing.B) {
		compare(b, func() error {
			w, err := seal.NewAttachment(io.Discard, blocks, key.Recipient())
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
				return err
			}
			return w.Close()
		}, func() error {
			w, err := age.Encrypt(io.Discard, key.Recipient())
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
				return err
			}
			return w.Close()
		})
	})
	b.Run("open", func(b *testing.B) {
		compare(b, func() error {
			r, err := seal.OpenAttachment(bytes.NewReader(a.file), a.Attachment, key.Identity())
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return err
		}, func() error {
			r, err := age.Decrypt(bytes.NewReader(plain), key.Identity())
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return err
		})
	})
}
