package main

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/text/language"
)

// languages has a catalogue for each language that the program speaks besides
// English, named by its BCP 47 tag.
//
//go:embed lang/*.toml
var languages embed.FS

// A catalogue is what the program says in another language, by what it says in
// English. English has none: its catalogue is nil. What is not in a catalogue is
// said in English.
type catalogue struct {
	Text   map[string]string // formats of what is said, printed and asked; headings
	Help   map[string]string // paragraphs of the help
	Known  map[string]string // formats of errors, and of what else is made before it is shown
	System map[string]string // formats of errors that others make: Go, the system, kong
	Word   map[string]string // what an identifier means: states, actions, roles

	tag string // BCP 47

	formats []knownFormat // of Known and System
	lists   []knownFormat // of Help
}

// inEnglish is for what is not said to a member: files, JSON, other programs.
var inEnglish *catalogue

// spoken are the languages in the order of the matcher's indexes, English first.
func spoken() []language.Tag {
	tags := []language.Tag{language.English}
	files, _ := languages.ReadDir("lang") // it is in the program
	for _, f := range files {
		tags = append(tags, language.MustParse(strings.TrimSuffix(f.Name(), ".toml")))
	}
	return tags
}

// languageFor is the catalogue of the language of --lang or, without it, of the
// environment. A language that is not spoken is English.
func languageFor(args []string, env func(string) string) (*catalogue, error) {
	wish := langFlag(args)
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} { // POSIX.1-2017, 8.2
		if wish == "" {
			wish = env(name)
		}
	}
	wish, _, _ = strings.Cut(wish, ".") // zh_CN.UTF-8
	wish, _, _ = strings.Cut(wish, "@")
	tag, err := language.Parse(wish)
	if err != nil {
		return nil, nil // C, POSIX or none
	}
	tags := spoken()
	_, i, sure := language.NewMatcher(tags).Match(tag)
	if i == 0 || sure == language.No {
		return nil, nil
	}
	return openCatalogue(tags[i].String())
}

// langFlag is the value of --lang. It is wanted before the line is parsed, which
// can print the help or fail.
func langFlag(args []string) (value string) {
	for i, arg := range args {
		switch name, v, has := strings.Cut(arg, "="); {
		case arg == "--":
			return value
		case name == "--lang" && has:
			value = v
		case name == "--lang" && i+1 < len(args):
			value = args[i+1]
		}
	}
	return value
}

func openCatalogue(tag string) (*catalogue, error) {
	data, err := languages.ReadFile(path.Join("lang", tag+".toml"))
	if err != nil {
		return nil, err
	}
	c := &catalogue{tag: tag}
	if err := toml.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("lang/%s.toml: %w", tag, err)
	}
	return c, nil
}

// text is a text or format of the program. Spaces and line breaks around it stay.
func (c *catalogue) text(english string) string {
	if c == nil {
		return english
	}
	return around(english, func(core string) string {
		if t, is := c.Text[core]; is {
			return t
		}
		return core
	})
}

// around changes what stands between the spaces and line breaks around a text.
func around(text string, change func(core string) string) string {
	core := strings.Trim(text, " \n")
	before, after, _ := strings.Cut(text, core)
	return before + change(core) + after
}

// sprintf is fmt.Sprintf in the language. In a column of its own a string takes
// the room that it has on a terminal.
func (c *catalogue) sprintf(format string, args ...any) string {
	if c == nil {
		return fmt.Sprintf(format, args...)
	}
	filled := make([]any, len(args))
	for i, arg := range args {
		if s, is := arg.(string); is {
			arg = padded(s)
		}
		filled[i] = arg
	}
	return fmt.Sprintf(c.text(format), filled...)
}

// word is an identifier that a person reads: what is typed, and what it means.
func (c *catalogue) word(id string) string {
	if c == nil || c.Word[id] == "" {
		return id
	}
	return id + "（" + c.Word[id] + "）"
}

// choose is the text in the language of those that somebody wrote in several, or that
// in English.
func (c *catalogue) choose(texts map[string]string) string {
	if c != nil && texts[c.tag] != "" {
		return texts[c.tag]
	}
	return texts["en"]
}

// reason is why something failed and what to do about it, on a line.
func (c *catalogue) reason(err error) string {
	why, next := c.known(err.Error()), hint(err)
	switch {
	case next == "":
		return why
	case c == nil:
		return why + ". " + next
	}
	return why + "。" + c.text(next)
}

// headings are the words that begin the heading of a list of tips, in all languages:
// lists are piped to commands that may run in another.
func headings() []string {
	words := []string{inboxHeading}
	for _, tag := range spoken()[1:] {
		if c, err := openCatalogue(tag.String()); err == nil {
			words = append(words, c.text(inboxHeading))
		}
	}
	return words
}
