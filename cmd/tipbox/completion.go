package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

func (*completionCmd) Help() string {
	return "Example: tipbox completion bash > ~/.local/share/bash-completion/completions/tipbox\n\n" +
		"Prints what makes the shell complete commands, flags and their values, and the names of tips that you have opened on this machine. New shells have it, if it is put into\n\n" +
		"  bash  ~/.local/share/bash-completion/completions/tipbox\n" +
		"  fish  ~/.config/fish/completions/tipbox.fish\n" +
		"  zsh   a folder of $fpath, as _tipbox\n\n" +
		"or, without that, in bash by the line \"source <(tipbox completion bash)\" in ~/.bashrc."
}

func (c *completionCmd) Run(a *app) error {
	switch c.Shell {
	case "bash":
		a.print("%s", bashCompletion)
	case "zsh":
		a.print("%s", zshCompletion)
	case "fish":
		a.print("%s", fishCompletion)
	}
	return nil
}

// What the shells run asks the program itself what may follow, so that what they
// offer is what it takes: see completeCmd.
const (
	bashCompletion = `# bash completion for tipbox
_tipbox() {
	local cur=${COMP_WORDS[COMP_CWORD]} line found
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:files)
			compopt -o filenames 2>/dev/null
			while IFS= read -r found; do COMPREPLY+=("$found"); done < <(compgen -f -- "$cur")
			;;
		:folders)
			compopt -o filenames 2>/dev/null
			while IFS= read -r found; do COMPREPLY+=("$found"); done < <(compgen -d -- "$cur")
			;;
		*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _tipbox tipbox
`
	zshCompletion = `#compdef tipbox
_tipbox() {
	local line
	local -a found
	for line in "${(@f)$("${words[1]/#\~/$HOME}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		case $line in
		'') ;;
		:files) _files ;;
		:folders) _files -/ ;;
		*$'\t'*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		*) found+=("${line//:/\\:}") ;;
		esac
	done
	(( ! $#found )) || _describe tipbox found
}
if [[ $funcstack[1] == _tipbox ]]; then
	_tipbox "$@"
else
	compdef _tipbox tipbox
fi
`
	fishCompletion = `# fish completion for tipbox
function __tipbox_complete
	set -l before (commandline -opc)
	set -l cur (commandline -ct)
	for line in ($before[1] __complete $before[2..-1] "$cur" 2>/dev/null)
		switch $line
			case :files
				__fish_complete_path "$cur"
			case :folders
				__fish_complete_directories "$cur"
			case '*'
				echo $line
		end
	end
end
complete -c tipbox -f -a '(__tipbox_complete)'
`
)

// completeCmd is what the completions ask.
type completeCmd struct {
	Words []string `arg:"" optional:"" help:"The words of the line after the program's name; the last is the one to complete."`
}

func (c *completeCmd) Run(a *app, k *kong.Context) error {
	if len(c.Words) == 0 {
		return nil
	}
	l := &line{node: k.Model.Node, home: a.home}
	last := len(c.Words) - 1
	for _, word := range c.Words[:last] {
		l.take(word)
	}
	for _, candidate := range l.candidates(c.Words[last]) {
		a.print("%s\n", cleanLine(candidate.word)+candidate.help())
	}
	return nil
}

// A line is a command line as far as it was read.
type line struct {
	node    *kong.Node
	home    desk.Home
	flag    *kong.Flag // the one whose value comes next, or nil
	args    int        // arguments that the command has
	onlyArg bool       // after --
}

// take reads a word. bash hands --flag=value over as three.
func (l *line) take(word string) {
	switch {
	case l.flag != nil && word == "=":
	case l.flag != nil:
		l.set(l.flag, word)
		l.flag = nil
	case l.onlyArg:
		l.args++
	case word == "--":
		l.onlyArg = true
	case strings.HasPrefix(word, "-") && len(word) > 1:
		name, value, has := strings.Cut(word, "=")
		flag := l.find(name)
		switch {
		case flag == nil || flag.IsBool():
		case has:
			l.set(flag, value)
		default:
			l.flag = flag
		}
	default:
		for _, child := range l.node.Children {
			if child.Name == word {
				l.node, l.args = child, 0
				return
			}
		}
		l.args++
	}
}

// set notes a flag's value if what is offered depends on it.
func (l *line) set(flag *kong.Flag, value string) {
	if flag.Name == "home" {
		l.home = desk.Home(kong.ExpandPath(value))
	}
}

// flags are those that may stand where the line is.
func (l *line) flags() (flags []*kong.Flag) {
	for _, group := range l.node.AllFlags(true) {
		flags = append(flags, group...)
	}
	return flags
}

func (l *line) find(name string) *kong.Flag {
	for _, f := range l.flags() {
		if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
			return f
		}
	}
	return nil
}

// A candidate is a word that may follow, or files or folders, which the shell
// knows better.
type candidate struct{ word, why string }

var (
	anyFile   = candidate{word: ":files"}
	anyFolder = candidate{word: ":folders"}
)

func (c candidate) help() string {
	if c.why == "" {
		return ""
	}
	return "\t" + cleanLine(strings.ReplaceAll(c.why, solid, " "))
}

// candidates are the words that begin with what is typed of one.
func (l *line) candidates(typed string) (found []candidate) {
	add := func(lead string, all []candidate) {
		for _, c := range all {
			if c == anyFile || c == anyFolder {
				found = append(found, c)
			} else if c.word = lead + c.word; strings.HasPrefix(c.word, typed) {
				found = append(found, c)
			}
		}
	}
	name, _, has := strings.Cut(typed, "=")
	switch flag := l.find(name); {
	case l.flag != nil:
		typed = strings.TrimPrefix(typed, "=") // bash's own word, after which it goes on
		add("", l.values(l.flag.Value, l.flag.PlaceHolder))
	case has && flag != nil && !l.onlyArg:
		add(name+"=", l.values(flag.Value, flag.PlaceHolder))
	case strings.HasPrefix(typed, "-") && !l.onlyArg:
		for _, f := range l.flags() {
			add("", []candidate{{"--" + f.Name, f.Help}})
		}
	case len(l.node.Children) > 0 && l.args == 0:
		for _, child := range l.node.Children {
			if !child.Hidden {
				add("", []candidate{{child.Name, child.Help}})
			}
		}
	case l.args < len(l.node.Positional):
		arg := l.node.Positional[l.args]
		add("", l.values(arg, arg.Name))
	}
	return found
}

// values are those that a flag or an argument can have, as its type and its name
// in the help say.
func (l *line) values(v *kong.Value, name string) (found []candidate) {
	words := func(words []string) {
		for _, w := range words {
			if w != "" {
				found = append(found, candidate{word: w})
			}
		}
	}
	switch kind := strings.ToLower(name); {
	case kind == "tip":
		words(l.tips())
	case kind == "state":
		for _, s := range tipbox.States() {
			words([]string{string(s)})
		}
	case kind == "channel":
		_, channels := l.roster()
		words(channels)
	case v.Name == "owner" || v.Name == "member":
		members, _ := l.roster()
		words(members)
	case kind == "dir":
		return []candidate{anyFolder}
	case kind == "file":
		return []candidate{anyFile}
	}
	switch {
	case v.Enum != "":
		words(v.EnumSlice())
	case v.Tag.Type == "existingdir":
		return []candidate{anyFolder}
	case v.Tag.Type == "existingfile" || v.Tag.Type == "path":
		return []candidate{anyFile}
	}
	return found
}

// tips are those that the member has opened, as the home remembers them: to ask
// the desk for others would take the key and the line.
func (l *line) tips() (tips []string) {
	files, err := os.ReadDir(filepath.Join(string(l.home), "heads"))
	if err != nil {
		return nil // none opened yet
	}
	for _, f := range files {
		if tipbox.ValidTipID(f.Name()) {
			tips = append(tips, f.Name())
		}
	}
	return tips
}

// roster lists the members and the channels of the roster seen last.
func (l *line) roster() (members, channels []string) {
	cfg, err := l.home.Config()
	if err != nil {
		return nil, nil
	}
	r, err := l.home.Roster(cfg)
	if err != nil {
		return nil, nil
	}
	all := make(map[string]bool)
	for _, m := range r.Members {
		members = append(members, m.Name())
		for _, channel := range m.Channels {
			all[channel] = true
		}
	}
	return members, slices.Sorted(maps.Keys(all))
}
