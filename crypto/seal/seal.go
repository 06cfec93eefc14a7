// Package seal turns tips into plain age files and back.
//
// What it guarantees:
//
//   - Everything it seals is an age v1 file (age-encryption.org/v1) to hybrid
//     post-quantum recipients only (ML-KEM-768 with X25519, "age1pq1…"); the
//     stock age program, version 1.3 or later, opens all of it.
//   - Opening yields the whole plaintext or an error. A bit flipped, a byte cut
//     off or added, a slot of another tip, a blob in an attachment's place are
//     errors, and a stream reports them before it reports its end.
//   - Lengths say little. A message is one of four sizes (see [Buckets]), an
//     attachment one of its Padmé sizes (see [PaddedSize]).
//   - Memory is constant, whatever the size of an attachment.
//   - Errors say no exact size of what was sealed.
//
// What it does not: age names no sender. Whoever has a tip's recipient can seal
// a message to it, and put one message in another's place; a document must say
// for itself what it is, and a signature must say by whom.
//
// A tip has one key of its own, the [TipKey]. Messages, attachments and notes
// are sealed to it; the key itself is sealed to the people who may read, in
// [Keyslots]. So to let in one more reader costs one slot, however large the
// tip.
//
// Layouts, after decryption:
//
//	message     a JSON document, then spaces up to the bucket
//	attachment  its bytes, then zeros up to the Padmé size
//	keyslot     an age identity file: comment lines that tie it to its tip,
//	            then the tip key's secret. "age -d -i" takes it as it is.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"filippo.io/age"

	"tipbox/crypto/secret"
)

// Errors of opening and sealing, wrapped with detail. Test with errors.Is. What a
// key that is held elsewhere fails with comes back as it is.
var (
	// ErrNotForYou means that none of the keys given opens the file.
	ErrNotForYou = errors.New("not sealed to this key")
	// ErrDamaged means that the file is not what was sealed: cut, extended,
	// altered, or no age file of ours at all.
	ErrDamaged = errors.New("damaged or altered")
	// ErrWrongTip means that a keyslot belongs to another tip.
	ErrWrongTip = errors.New("belongs to another tip")
	// ErrTooLong means that a message is over the largest bucket.
	ErrTooLong = errors.New("too long for one message")
	// ErrRecipient means that a recipient is not a hybrid post-quantum one.
	ErrRecipient = errors.New("not a post-quantum age recipient (age1pq1…)")
)

// A Recipient is a hybrid post-quantum age recipient.
type Recipient = age.HybridRecipient

// ParseRecipient reads an "age1pq1…" string. Classic recipients ("age1…") are
// refused with ErrRecipient.
func ParseRecipient(s string) (*Recipient, error) {
	r, err := age.ParseHybridRecipient(s)
	if err != nil {
		// No more of it: it may be a secret key in the wrong place.
		return nil, fmt.Errorf("%.12q: %w", s, ErrRecipient)
	}
	return r, nil
}

// A TipKey is the age identity of one tip. It prints as a fixed word.
type TipKey struct {
	identity *age.HybridIdentity
	public   string // the recipient's text, which takes age as long to write as a tenth of sealing a message
}

func newTipKey(id *age.HybridIdentity) *TipKey { return &TipKey{id, id.Recipient().String()} }

// NewTipKey makes a fresh random tip key.
func NewTipKey() (k *TipKey, err error) {
	secret.Do(func() {
		var id *age.HybridIdentity
		if id, err = age.GenerateHybridIdentity(); err == nil {
			k = newTipKey(id)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("making a tip key: %w", err)
	}
	return k, nil
}

// ParseTipKey reads the "AGE-SECRET-KEY-PQ-1…" form of a tip key.
func ParseTipKey(s string) (k *TipKey, err error) {
	secret.Do(func() {
		var id *age.HybridIdentity
		if id, err = age.ParseHybridIdentity(s); err == nil {
			k = newTipKey(id)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("reading a tip key: %w", ErrDamaged)
	}
	return k, nil
}

// Recipient is the public half, to which the tip's parts are sealed.
func (k *TipKey) Recipient() *Recipient { return k.identity.Recipient() }

// Public is the text of the Recipient, "age1pq1…".
func (k *TipKey) Public() string { return k.public }

// Identity is the secret half, for the Open functions of this package.
func (k *TipKey) Identity() age.Identity { return k.identity }

// Reveal returns the secret in age's own text form, for an export that its
// reader asked for. Keep it from logs.
func (k *TipKey) Reveal() string { return k.identity.String() }

const hidden = "[tip key]"

func (*TipKey) String() string               { return hidden }
func (*TipKey) GoString() string             { return hidden }
func (*TipKey) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (*TipKey) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Buckets are the plaintext sizes of messages, in bytes.
var Buckets = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10}

// MaxMessage is the longest message document, in bytes.
const MaxMessage = 256 << 10

// Message seals a JSON document to the recipients, padded with spaces to the
// next bucket. The document must not end in a space. ErrTooLong if it is over
// MaxMessage.
func Message(doc []byte, to ...*Recipient) ([]byte, error) {
	for _, size := range Buckets {
		if len(doc) > size {
			continue
		}
		padded := make([]byte, size)
		n := copy(padded, doc)
		for i := n; i < size; i++ {
			padded[i] = ' '
		}
		return encrypt(padded, to)
	}
	return nil, fmt.Errorf("sealing a message: over %d bytes: %w", MaxMessage, ErrTooLong)
}

// IsMessage reports whether sealed has the form of a message sealed to so many
// recipients, as far as can be told without a key.
func IsMessage(sealed []byte, recipients int) bool {
	header, err := age.ExtractHeader(bytes.NewReader(sealed))
	if err != nil || bytes.Count(header, []byte("\n-> ")) != recipients {
		return false
	}
	const nonce, chunk, tag = 16, 64 << 10, 16 // age-encryption.org/v1, payload
	for _, size := range Buckets {
		chunks := (size + chunk - 1) / chunk
		if len(sealed) == len(header)+nonce+size+chunks*tag {
			return true
		}
	}
	return false
}

// OpenMessage opens what Message sealed and returns the document without its
// padding.
func OpenMessage(sealed []byte, id age.Identity) ([]byte, error) {
	padded, err := decrypt(sealed, id, MaxMessage)
	if err != nil {
		return nil, fmt.Errorf("opening a message: %w", err)
	}
	for _, size := range Buckets {
		if len(padded) == size {
			return bytes.TrimRight(padded, " "), nil
		}
	}
	return nil, fmt.Errorf("opening a message: %d bytes is no bucket: %w", len(padded), ErrDamaged)
}

func encrypt(plain []byte, to []*Recipient) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(plain) + 1024 + 2048*len(to))
	w, err := newWriter(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return out.Bytes(), nil
}

// maxRecipients is how many recipients age reads of one file. It would write
// more.
const maxRecipients = 1024

func newWriter(dst io.Writer, to []*Recipient) (io.WriteCloser, error) {
	if len(to) > maxRecipients {
		return nil, fmt.Errorf("sealing: %d recipients, at most %d", len(to), maxRecipients)
	}
	recipients := make([]age.Recipient, len(to))
	for i, r := range to {
		recipients[i] = r
	}
	w, err := age.Encrypt(dst, recipients...)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return w, nil
}

// decrypt opens an age file of at most max bytes of plaintext.
func decrypt(sealed []byte, id age.Identity, max int) ([]byte, error) {
	r, err := newReader(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, int64(max)+1))
	if err != nil {
		return nil, damaged(err)
	}
	if len(plain) > max {
		return nil, fmt.Errorf("over %d bytes: %w", max, ErrDamaged)
	}
	return plain, nil
}

func newReader(src io.Reader, id age.Identity) (io.Reader, error) {
	asked := &asked{Identity: id}
	r, err := age.Decrypt(src, asked)
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return nil, ErrNotForYou
	}
	if asked.failed != nil {
		return nil, asked.failed
	}
	if err != nil {
		return nil, damaged(err)
	}
	return r, nil
}

// asked is an identity that may be held elsewhere, and remembers how that failed:
// it tells nothing of the file.
type asked struct {
	age.Identity
	failed error
}

func (a *asked) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := a.Identity.Unwrap(stanzas)
	if _, here := a.Identity.(*age.HybridIdentity); !here && err != nil && !errors.Is(err, age.ErrIncorrectIdentity) {
		a.failed = err
	}
	return key, err
}

// damaged says that age refused a file, and why. age quotes whole lines of the
// file, up to its limit of 2 MiB; none needs to fill a log.
func damaged(why error) error { return fmt.Errorf("%w: %.200v", ErrDamaged, why) }
