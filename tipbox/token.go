package tipbox

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"tipbox/crypto/receipt"
	"tipbox/store"
)

// A form token fixes the receipt of the tip that its form will send:
//
//	token   = id of a form key (8), T (20), first 16 bytes of MAC(key, "token" T)
//	receipt = first 16 bytes of MAC(key, "receipt" T), HMAC-SHA256
//	T       = 16 random bytes, the roster's serial number (4, big-endian)
//
// The serial number makes sure that nobody who came into the roster since, and
// whom the source therefore could not leave out, gets the tip.
//
// Form keys are in the store, so a form outlives a restart and serves at
// another front end of the same store; a key is used for a day and forgotten
// the day after. Neither the disk alone nor the form alone gives the receipt.
type formKey struct {
	Day string `json:"day"` // of its first use
	Key []byte `json:"key"` // 32 bytes
}

const (
	formKeyIDLength = 8
	formNonce       = 20
	formMAC         = 16
)

// formKeys caches the store's form keys.
type formKeys struct {
	mu      sync.Mutex // guards the rest
	current string     // id of the key for new forms
	known   map[string]formKey
}

func mac(key []byte, label string, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, label)
	h.Write(data)
	return h.Sum(nil)
}

// FormToken makes the token of a new tip form. It is good for the rest of the
// day and all of the next.
func (s *Service) FormToken(ctx context.Context) (string, error) {
	defer s.brief()()
	id, key, err := s.newestFormKey(ctx)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, 16, formNonce)
	rand.Read(nonce)
	nonce = binary.BigEndian.AppendUint32(nonce, uint32(s.Roster().Serial))
	token := slices.Concat([]byte(id), nonce, mac(key.Key, "token", nonce)[:formMAC])
	return base64.RawURLEncoding.EncodeToString(token), nil
}

// openForm returns the receipt that a form token fixes and the serial number of
// the roster it was made under, or ErrExpired.
func (s *Service) openForm(ctx context.Context, token string) (code *receipt.Code, serial int, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != formKeyIDLength+formNonce+formMAC {
		return nil, 0, fmt.Errorf("form token: %w", ErrExpired)
	}
	nonce := raw[formKeyIDLength : formKeyIDLength+formNonce]
	key, err := s.formKey(ctx, string(raw[:formKeyIDLength]))
	if err != nil {
		return nil, 0, err
	}
	if !hmac.Equal(mac(key.Key, "token", nonce)[:formMAC], raw[formKeyIDLength+formNonce:]) {
		return nil, 0, fmt.Errorf("form token: %w", ErrExpired)
	}
	code, err = receipt.FromBytes(mac(key.Key, "receipt", nonce)[:16])
	return code, int(binary.BigEndian.Uint32(nonce[16:])), err
}

func (s *Service) yesterday() string {
	return s.cfg.Now().In(s.cfg.Location).AddDate(0, 0, -1).Format(time.DateOnly)
}

// newestFormKey returns today's key and makes it if there is none. Keys that
// no form can name any more are deleted.
func (s *Service) newestFormKey(ctx context.Context) (string, formKey, error) {
	today := s.Today()
	s.forms.mu.Lock()
	defer s.forms.mu.Unlock()
	if key, ok := s.forms.known[s.forms.current]; ok && key.Day == today {
		return s.forms.current, key, nil
	}
	recs, err := s.cfg.Store.Scan(ctx, prefixForm, "", store.MaxScan)
	if err != nil {
		return "", formKey{}, fmt.Errorf("reading form keys: %w", err)
	}
	if s.forms.known == nil {
		s.forms.known = make(map[string]formKey)
	}
	maps.DeleteFunc(s.forms.known, func(_ string, key formKey) bool { return key.Day < s.yesterday() })
	s.forms.current = ""
	var changes []store.Change
	for _, rec := range recs {
		var key formKey
		id := strings.TrimPrefix(string(rec.Key), string(prefixForm))
		err := decode(rec, &key)
		if err != nil {
			s.cfg.Log.Error("a form key is damaged: forms made with it have to be sent again", "error", err)
		}
		switch {
		case err != nil, key.Day < s.yesterday():
			if len(changes) < store.MaxChanges-1 {
				changes = append(changes, store.Delete(rec.Key))
			}
		default:
			s.forms.known[id] = key
			if key.Day == today {
				s.forms.current = id
			}
		}
	}
	if s.forms.current != "" {
		return s.forms.current, s.forms.known[s.forms.current], nil
	}
	id, key := randomID(formKeyIDLength), formKey{Day: today, Key: make([]byte, 32)}
	rand.Read(key.Key)
	// One visitor's going away must not cost the others their key.
	err = s.cfg.Store.Apply(context.WithoutCancel(ctx), append(changes, store.Create(keyForm(id), encode(key)))...)
	s.forms.known[id] = key
	if err != nil {
		// The page with the form must not fail for this: the key serves as
		// long as the process lives, and the next form tries again.
		s.cfg.Log.Error("form key not kept", "error", err)
		return id, key, nil
	}
	s.forms.current = id
	return id, key, nil
}

// formKey returns the key of that id, unless it is too old: ErrExpired.
func (s *Service) formKey(ctx context.Context, id string) (formKey, error) {
	s.forms.mu.Lock()
	key, ok := s.forms.known[id]
	s.forms.mu.Unlock()
	if !ok {
		k := keyForm(id)
		if k.Valid() != nil {
			return formKey{}, fmt.Errorf("form token: %w", ErrExpired)
		}
		rec, err := s.cfg.Store.Get(ctx, k)
		if err == nil {
			err = decode(rec, &key)
		}
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
			return formKey{}, fmt.Errorf("form token: %w", ErrExpired) // and a new form is made
		}
		if err != nil {
			return formKey{}, fmt.Errorf("reading a form key: %w", err)
		}
	}
	if key.Day < s.yesterday() {
		return formKey{}, fmt.Errorf("form token: %w", ErrExpired)
	}
	return key, nil
}

// SessionLife is how long a session token is valid.
const SessionLife = 30 * time.Minute

// sessions seals receipt codes for the forms of a thread's pages, with a key
// that lives only in memory.
type sessions struct{ aead cipher.AEAD }

func newSessions() sessions {
	key := make([]byte, chacha20poly1305.KeySize)
	rand.Read(key)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a key of another length
	}
	return sessions{aead}
}

// Session makes a session token: the receipt code, sealed for SessionLife.
func (s *Service) Session(code *receipt.Code) string {
	nonce := make([]byte, s.sessions.aead.NonceSize(), 80)
	rand.Read(nonce)
	plain := binary.BigEndian.AppendUint64(code.Bytes(), uint64(s.cfg.Now().Add(SessionLife).Unix()))
	return base64.RawURLEncoding.EncodeToString(s.sessions.aead.Seal(nonce, nonce, plain, nil))
}

// OpenSession returns the receipt code in a session token, or ErrExpired.
func (s *Service) OpenSession(token string) (*receipt.Code, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	n := s.sessions.aead.NonceSize()
	if err != nil || len(raw) < n {
		return nil, fmt.Errorf("session: %w", ErrExpired)
	}
	plain, err := s.sessions.aead.Open(nil, raw[:n], raw[n:], nil)
	if err != nil || len(plain) != 16+8 {
		return nil, fmt.Errorf("session: %w", ErrExpired)
	}
	if s.cfg.Now().Unix() > int64(binary.BigEndian.Uint64(plain[16:])) {
		return nil, fmt.Errorf("session: %w", ErrExpired)
	}
	return receipt.FromBytes(plain[:16])
}
