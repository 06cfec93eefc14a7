// Package tipbox is the service itself: tips, threads and replies, and every
// rule about them. It knows no HTTP and no disk.
//
// What it guarantees, given a [store.Store] and [store.Blobs] that keep their
// contracts:
//
//   - Nothing reaches the store unsealed but what DESIGN lists as clear: ids,
//     channels, days, who may read, padded sizes, public keys and hashes.
//   - A receipt that Submit returned is a tip that is durable.
//   - Sending the same form twice is one tip; sending something else with the
//     same form is a follow-up of it.
//   - Unknown, expired and erased receipt codes are one error, [ErrNoThread].
//   - Every message of a thread is an [Event], a signed note chained to the one
//     before. The server checks the chain before it appends, and a member's
//     tool checks it again with the same code ([OpenTip]).
//   - Days, never times. No address, no name of a client, ever enters here.
//   - A source is told on which day the receipt code was last used. What is kept
//     of that names no tip and no code, and is written once a day, not when
//     somebody comes: a crash loses the day's visits (see visit.go).
//
// Decisions where the design is silent: who may read a tip is in the clear in
// its record, because a member whom the source left out must not even see that
// the tip exists; a tip's id is a hash of its keys (seal.TipID), so that no
// server can put another tip under it.
package tipbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
)

// Errors of the service, wrapped with detail. Test with errors.Is.
var (
	// ErrNoThread means that a receipt code opens nothing: it was never
	// given out, or its tip expired or was erased. There is one error so that
	// nobody can tell these apart.
	ErrNoThread = errors.New("no thread for this receipt code")
	// ErrNotFound means that there is no such tip or attachment for this
	// member, who may lack the right to know of it.
	ErrNotFound = errors.New("not found")
	// ErrForbidden means that the member's roles do not allow it.
	ErrForbidden = errors.New("not allowed")
	// ErrExpired means that a form or session is too old; nothing was kept.
	ErrExpired = errors.New("expired")
	// ErrEmpty means that a message has neither text nor files.
	ErrEmpty = errors.New("empty")
	// ErrTooLong means that a text is over MaxText.
	ErrTooLong = errors.New("text too long")
	// ErrFileTooLarge means that a file is over Config.MaxFile.
	ErrFileTooLarge = errors.New("file too large")
	// ErrNoRoom means that attachments cannot be kept at present: the disk is
	// full, but for what is reserved for texts.
	ErrNoRoom = errors.New("no room for files")
	// ErrTooManyFiles means that a message has over MaxFiles files.
	ErrTooManyFiles = errors.New("too many files")
	// ErrChannel means that there is no such channel, or nobody reads it.
	ErrChannel = errors.New("no such channel")
	// ErrNoReaders means that everybody who reads the channel is left out.
	ErrNoReaders = errors.New("nobody is left to read it")
	// ErrRosterChanged means that those who may read have changed since the
	// form was served: whom to leave out must be looked at again.
	ErrRosterChanged = errors.New("the roster has changed since the form was served")
	// ErrReadersChanged means that a form that was sent already came again
	// for other readers. What was sent cannot be taken back, and the new
	// text was not given to the old readers: it was not kept.
	ErrReadersChanged = errors.New("already sent, to other readers")
	// ErrConflict means that somebody else changed the thread meanwhile.
	ErrConflict = errors.New("the thread has changed meanwhile")
	// ErrFull means that a thread has no room for more.
	ErrFull = errors.New("the thread is full")
	// ErrUnreadable means that a message is the one that was signed and
	// cannot be opened all the same: its writer, not the server, made it so.
	ErrUnreadable = errors.New("it was written so that it cannot be read")
	// ErrRule means that a rule of the cases forbids it: see RuleError.
	ErrRule = errors.New("against a rule")
	// ErrNewer means that a newer version of the program has written it: see Format.
	ErrNewer = errors.New("of a newer version of Tipbox")
	// ErrInvalid means that something is malformed, forged or out of place.
	ErrInvalid = errors.New("refused")
)

// Limits of a message.
const (
	MaxText  = 40_000 // characters
	MaxFiles = 500
	maxName  = 255 // bytes of a file's name that are kept

	// DefaultMaxFile is the largest attachment unless Config says otherwise.
	DefaultMaxFile = 4 << 30
)

// A Channel is a subject that a tip can be sent to. Its texts are by language
// (BCP 47 tag); who reads it is in the roster.
type Channel struct {
	ID       string
	Title    map[string]string
	Guidance map[string]string

	// KeepDays is the retention rule: a tip that was answered is erased so
	// many days after its last message. 0: none is.
	KeepDays int `toml:"keep_days"`

	// Proof offers sources a Proof of their tip, if Config has what signs it.
	Proof bool `toml:"proof"`

	// Kind is "" or KindSuggestion.
	Kind string `toml:"kind"`
}

// KindSuggestion is the kind of a channel whose tips are suggestions. Their cases
// are worked as all are; sources are told of them in other words.
const KindSuggestion = "suggestion"

// CheckKind reports whether a channel can be of that kind.
func CheckKind(kind string) error {
	if kind != "" && kind != KindSuggestion {
		return fmt.Errorf("kind %.40q is not %q: leave it out for a channel like any other", kind, KindSuggestion)
	}
	return nil
}

// Config is what a Service needs. Store, Blobs and Root are required; the rest
// has defaults.
type Config struct {
	Store    store.Store
	Blobs    store.Blobs
	Root     string           // verifier key that signs the roster
	Channels []Channel        // those offered to sources, in their order
	MaxFile  int64            // largest attachment in bytes; DefaultMaxFile if 0
	Location *time.Location   // of the organisation's days; UTC if nil
	Now      func() time.Time // time.Now if nil
	Log      *slog.Logger     // discarded if nil; never told anything of a source

	// Free asks how many bytes the disk that Blobs are on has left. Attachments
	// leave Reserve bytes of them to texts. If nil there is no end of room.
	Free    func() (int64, error)
	Reserve int64

	// SignProof signs the text of a Proof as a note, with the key of this server
	// that stands in the roster (roster.SigningKey.Sign). If nil no proofs are
	// offered, whatever the channels say.
	SignProof func(text string) ([]byte, error)
}

// Service is the tip service. Its methods may be called concurrently.
type Service struct {
	cfg      Config
	roster   atomic.Pointer[installed]
	forms    formKeys
	sessions sessions
	sequence sequence
	visits   visits
	short    atomic.Int64 // see brief
	room     room
	blocks   seal.Blocks

	installing sync.Mutex // serialises InstallRoster
	mendedMu   sync.Mutex // guards mended
	mended     []error    // what Migrate and InstallRoster found damaged and wrote anew
}

type installed struct {
	roster *roster.Roster
	signed []byte
}

// New makes a service. It has no roster yet: see InstallRoster.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Blobs == nil || cfg.Root == "" {
		return nil, errors.New("tipbox: Config needs Store, Blobs and Root")
	}
	if cfg.MaxFile == 0 {
		cfg.MaxFile = DefaultMaxFile
	}
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		cfg: cfg, sessions: newSessions(),
		room:   room{free: cfg.Free, reserve: cfg.Reserve, log: cfg.Log},
		blocks: seal.NewBlocks(8),
	}
	s.roster.Store(&installed{roster: new(roster.Roster)})
	return s, nil
}

// MaxFile is the largest attachment, in bytes.
func (s *Service) MaxFile() int64 { return s.cfg.MaxFile }

// Today is the organisation's day, 2006-01-02.
func (s *Service) Today() string { return s.cfg.Now().In(s.cfg.Location).Format(time.DateOnly) }

// Root is the verifier key of the organisation's root key.
func (s *Service) Root() string { return s.cfg.Root }

// RootFingerprint is for people to compare it, as eight groups of four hex digits.
func (s *Service) RootFingerprint() string { return roster.Fingerprint(s.cfg.Root) }

// InstallRoster makes a signed roster the one in force. It refuses one that
// the root key did not sign or that is older than any installed before, also
// by an earlier process: the last mark is in the store.
func (s *Service) InstallRoster(ctx context.Context, signed []byte) error {
	s.installing.Lock()
	defer s.installing.Unlock()
	var last roster.Mark
	rec, err := s.cfg.Store.Get(ctx, keyRosterMark)
	if err == nil {
		err = decode(rec, &last)
	}
	damaged := errors.Is(err, store.ErrCorrupt)
	if damaged { // no reason to serve nobody: whoever could make it so could also write an older one
		s.mend(fmt.Errorf("whether this roster is older than the last cannot be told, see to it that it is the newest: %w", err))
		last = s.Roster().Mark()
	}
	if err != nil && !damaged && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("reading the last roster's mark: %w", err)
	}
	r, err := roster.Open(signed, s.cfg.Root, last)
	if err != nil {
		return err
	}
	if r.Mark() != last || damaged {
		write := store.Update(keyRosterMark, encode(r.Mark()), rec.Revision)
		if damaged {
			write = store.Put(keyRosterMark, encode(r.Mark()))
		}
		if err := s.cfg.Store.Apply(ctx, write); err != nil {
			return fmt.Errorf("keeping the roster's mark: %w", err)
		}
	}
	s.roster.Store(&installed{r, slices.Clone(signed)})
	return nil
}

// mend notes that a mark was damaged and is written anew.
func (s *Service) mend(damage error) {
	s.cfg.Log.Error("a mark is damaged, and written anew", "error", damage)
	s.mendedMu.Lock()
	defer s.mendedMu.Unlock()
	s.mended = append(s.mended, damage)
}

// Roster is the roster in force, not to be changed.
func (s *Service) Roster() *roster.Roster { return s.roster.Load().roster }

// SignedRoster is the note that the roster in force came in.
func (s *Service) SignedRoster() []byte { return s.roster.Load().signed }

// Channels are the channels that somebody reads, in the site's order.
func (s *Service) Channels() []Channel {
	r := s.Roster()
	return slices.DeleteFunc(slices.Clone(s.cfg.Channels), func(c Channel) bool {
		return len(r.Investigators(c.ID)) == 0
	})
}

// A Reader is a member as a source sees them, to leave them out.
type Reader struct {
	Name     string
	Title    string   // may be empty
	Unit     string   // may be empty
	Channels []string // whose tips they read; none if they only review or decide
	Reviews  bool     // may be let in to review a case
	Decides  bool     // about awards
}

// Readers are all who read the channels on offer, may be let in later or decide about
// awards, by unit and name.
func (s *Service) Readers() []Reader {
	readers := make(map[string]*Reader)
	for _, c := range s.Channels() {
		for _, m := range s.Roster().Investigators(c.ID) {
			r := readers[m.Name()]
			if r == nil {
				r = &Reader{Name: m.Name(), Title: m.Title, Unit: m.Unit}
				readers[m.Name()] = r
			}
			r.Channels = append(r.Channels, c.ID)
		}
	}
	for _, m := range s.Roster().Members {
		decides := m.Has(roster.Approver) && len(s.Roster().Schedules) > 0
		if !decides && !m.Has(roster.Reviewer) {
			continue
		}
		r := readers[m.Name()]
		if r == nil {
			r = &Reader{Name: m.Name(), Title: m.Title, Unit: m.Unit}
			readers[m.Name()] = r
		}
		r.Reviews, r.Decides = m.Has(roster.Reviewer), decides
	}
	sorted := make([]Reader, 0, len(readers))
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		sorted = append(sorted, *readers[name])
	}
	slices.SortStableFunc(sorted, func(a, b Reader) int {
		switch {
		case a.Unit < b.Unit:
			return -1
		case a.Unit > b.Unit:
			return 1
		}
		return 0
	})
	return sorted
}

// readersOf returns who reads the channel, less those left out by name or by
// unit. A name or unit that is nobody's is ErrRosterChanged: somebody who must
// not read it may go by another name now.
func (s *Service) readersOf(channel string, leaveOut []string) ([]*roster.Member, error) {
	if !slices.ContainsFunc(s.Channels(), func(c Channel) bool { return c.ID == channel }) {
		return nil, fmt.Errorf("channel %.40q: %w", channel, ErrChannel)
	}
	for _, left := range leaveOut {
		if !slices.ContainsFunc(s.Readers(), func(r Reader) bool { return left == r.Name || r.Unit != "" && left == LeaveOutUnit(r.Unit) }) {
			return nil, ErrRosterChanged
		}
	}
	readers := slices.DeleteFunc(s.Roster().Investigators(channel), func(m *roster.Member) bool {
		return slices.Contains(leaveOut, m.Name()) || m.Unit != "" && slices.Contains(leaveOut, LeaveOutUnit(m.Unit))
	})
	if len(readers) == 0 {
		return nil, ErrNoReaders
	}
	return readers, nil
}

// LeaveOutUnit is how a Submission's LeaveOut names a whole unit. No member's
// name has a colon.
func LeaveOutUnit(unit string) string { return "unit:" + unit }
