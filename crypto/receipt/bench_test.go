package receipt_test

import (
	"strings"
	"testing"

	"tipbox/crypto/receipt"
)

// The service derives over 100,000 locators a second on one core: 10 µs each.
func BenchmarkLocator(b *testing.B) {
	c := receipt.New()
	b.ReportAllocs()
	for b.Loop() {
		c.Locator()
	}
}

func BenchmarkParse(b *testing.B) {
	c := receipt.New()
	wrong := strings.Fields(c.Words("en"))
	wrong[5] = "curtian"
	for _, v := range []struct{ name, text string }{
		{"en", c.Words("en")}, {"fr", c.Words("fr")}, {"cs", c.Words("cs")}, {"zh", c.Words("zh")},
		{"ja", c.Words("ja")}, {"ko", c.Words("ko")}, {"digits", c.Digits()},
		{"wrong", strings.Join(wrong, " ")}, {"long", strings.Repeat("ﷺ", 1300)},
	} {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				receipt.Parse(v.text)
			}
		})
	}
}

func BenchmarkWords(b *testing.B) {
	c := receipt.New()
	for _, lang := range []string{"en", "ko"} {
		b.Run(lang, func(b *testing.B) {
			for b.Loop() {
				c.Words(lang)
			}
		})
	}
}

func BenchmarkReplyIdentity(b *testing.B) {
	c := receipt.New()
	for b.Loop() {
		if _, err := c.ReplyIdentity(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSigningKey(b *testing.B) {
	c := receipt.New()
	for b.Loop() {
		c.SigningKey()
	}
}
