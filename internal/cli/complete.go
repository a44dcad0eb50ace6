package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/system"
	"lus/internal/client"
)

// bashCompletion asks this program for what can come next. The line is split at
// blanks only: bash itself would split an image's name at its colon.
const bashCompletion = `_PROGRAM() {
	local line=${COMP_LINE:0:COMP_POINT} words cur
	read -ra words <<<"$line"
	cur=${words[-1]}
	[[ $line == *[[:space:]] ]] && words+=("") && cur=
	local IFS=$'\n'
	COMPREPLY=($(PROGRAM __complete "${words[@]:1}" 2>/dev/null))
	[[ $cur == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
}
complete -o default -F _PROGRAM PROGRAM
`

// zshCompletion is the same for zsh. Read before its completions are set up, it
// sets them up.
const zshCompletion = `#compdef PROGRAM
_PROGRAM() {
	local -a found
	found=(${(f)"$(PROGRAM __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)"})
	if (( $#found )); then
		compadd -- "${found[@]}"
	else
		_files
	fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _PROGRAM PROGRAM
`

// fishCompletion is the same for fish.
const fishCompletion = `function __PROGRAM_complete
	set -l words (commandline -opc)
	set -l cur (commandline -ct)
	set -l found (PROGRAM __complete $words[2..-1] "$cur" 2>/dev/null)
	if set -q found[1]
		printf '%s\n' $found
	else
		__fish_complete_path "$cur"
	end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
`

// completion prints the script that a shell reads.
func completion(e *command.Env, args []string) error {
	scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	script := ""
	if len(args) == 1 {
		script = scripts[args[0]]
	}
	if script == "" {
		return errs.New(errs.Invalid, "write `source <(%[1]s completion bash)` into ~/.bashrc, the same with zsh into ~/.zshrc, or `%[1]s completion fish | source` into ~/.config/fish/config.fish", e.Program)
	}
	_, err := fmt.Fprint(e.Out, strings.ReplaceAll(script, "PROGRAM", e.Program))
	return err
}

// complete prints what the last of words can become. It starts no daemon.
func complete(ctx context.Context, e *command.Env, words []string) {
	if len(words) == 0 {
		return
	}
	last := words[len(words)-1]
	g, before, err := parseGlobal(e, words[:len(words)-1])
	if err != nil || g.apply(e) != nil {
		return
	}
	for _, c := range candidates(ctx, e, before, last) {
		if strings.HasPrefix(c, last) {
			fmt.Fprintln(e.Out, c)
		}
	}
}

// candidates are what can stand after the words before.
func candidates(ctx context.Context, e *command.Env, before []string, last string) []string {
	all := nouns()
	if len(before) == 0 {
		return firstWords(all)
	}
	nounName, verb, isShort := short(before[0])
	if !isShort {
		i := slices.IndexFunc(all, func(n noun) bool { return n.name == before[0] })
		if i < 0 {
			return nil
		}
		if len(before) == 1 {
			return names(all[i].commands())
		}
		nounName, verb = before[0], before[1]
		if c, ok := command.Find(all[i].commands(), verb); ok && c.Sub != nil {
			if len(before) == 2 {
				return names(c.Sub)
			}
			nounName, verb = nounName+" "+verb, before[2]
		}
	}
	if strings.HasPrefix(last, "-") {
		return flagsOf(e, all, nounName, verb)
	}
	if names, ok := valuesOf(before[len(before)-1]); ok {
		return names(ctx, e)
	}
	return things(ctx, e, nounName, verb)
}

// firstWords are the nouns and the verbs that need none.
func firstWords(all []noun) []string {
	out := []string{"compose", "completion", "inspect", "login", "logout", "version"}
	for _, n := range all {
		out = append(out, n.name)
		for _, c := range n.commands() {
			for _, name := range append([]string{c.Name}, c.Aliases...) {
				if _, _, ok := short(name); ok {
					out = append(out, name)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func names(list []command.Command) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.Name)
	}
	return out
}

func flagsOf(e *command.Env, all []noun, nounName, verb string) []string {
	list := system.Others()
	first, second, _ := strings.Cut(nounName, " ")
	if i := slices.IndexFunc(all, func(n noun) bool { return n.name == first }); i >= 0 {
		list = all[i].commands()
		if c, ok := command.Find(list, second); ok {
			list = c.Sub
		}
	}
	c, ok := command.Find(list, verb)
	if !ok {
		return nil
	}
	f := pflag.NewFlagSet(verb, pflag.ContinueOnError)
	c.Flags(e, f)
	out := []string{"--help"}
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			out = append(out, "--"+flag.Name)
		}
	})
	return out
}

// valuesOf tells which live names a flag takes as its value.
func valuesOf(flag string) (names func(context.Context, *command.Env) []string, ok bool) {
	switch flag {
	case "--network", "--net":
		return networks, true
	case "--config-from":
		return configNetworks, true
	case "--volumes-from":
		return containers, true
	}
	return nil, false
}

// things are the live names that a verb takes.
func things(ctx context.Context, e *command.Env, nounName, verb string) []string {
	switch {
	case nounName == "" && verb == "inspect":
		return slices.Concat(containers(ctx, e), images(ctx, e), networks(ctx, e), volumes(ctx, e))
	case nounName == "container" && (verb == "run" || verb == "create"), nounName == "image" && verb != "build" && verb != "import" && verb != "pull":
		return images(ctx, e)
	case nounName == "container":
		return containers(ctx, e)
	case nounName == "network" && (verb == "connect" || verb == "disconnect"):
		return slices.Concat(networks(ctx, e), containers(ctx, e))
	case nounName == "network" && verb != "create":
		return networks(ctx, e)
	case nounName == "volume" && verb != "create":
		return volumes(ctx, e)
	case nounName == "account" && verb != "create" && verb != "ls" && verb != "rules", nounName == "account token" && verb != "rm":
		return users(ctx, e)
	case nounName == "account token":
		return tokens(ctx, e)
	}
	return nil
}

// ask reads a list; a daemon that is not there has none.
func ask(ctx context.Context, e *command.Env, path string, to any) {
	q := map[string][]string{"all": {"1"}}
	_ = e.Client.Existing().Call(ctx, client.Request{Method: "GET", Path: path, Query: q}, to)
}

func containers(ctx context.Context, e *command.Env) (out []string) {
	var list []struct{ Names []string }
	ask(ctx, e, "/containers/json", &list)
	for _, c := range list {
		for _, n := range c.Names {
			out = append(out, strings.TrimPrefix(n, "/"))
		}
	}
	return out
}

func images(ctx context.Context, e *command.Env) (out []string) {
	var list []struct{ RepoTags []string }
	ask(ctx, e, "/images/json", &list)
	for _, i := range list {
		out = append(out, i.RepoTags...)
	}
	return out
}

func networks(ctx context.Context, e *command.Env) (out []string) {
	var list []struct{ Name string }
	ask(ctx, e, "/networks", &list)
	for _, n := range list {
		out = append(out, n.Name)
	}
	return out
}

// configNetworks are those that other networks can be made from.
func configNetworks(ctx context.Context, e *command.Env) (out []string) {
	var list []struct {
		Name       string
		ConfigOnly bool
	}
	ask(ctx, e, "/networks", &list)
	for _, n := range list {
		if n.ConfigOnly {
			out = append(out, n.Name)
		}
	}
	return out
}

func volumes(ctx context.Context, e *command.Env) (out []string) {
	var list struct{ Volumes []struct{ Name string } }
	ask(ctx, e, "/volumes", &list)
	for _, v := range list.Volumes {
		out = append(out, v.Name)
	}
	return out
}

func users(ctx context.Context, e *command.Env) (out []string) {
	var list []struct{ Name string }
	ask(ctx, e, "/lus/v1/accounts", &list)
	for _, u := range list {
		out = append(out, u.Name)
	}
	return out
}

func tokens(ctx context.Context, e *command.Env) (out []string) {
	var list []struct{ ID string }
	ask(ctx, e, "/lus/v1/tokens", &list)
	for _, t := range list {
		out = append(out, t.ID)
	}
	return out
}
