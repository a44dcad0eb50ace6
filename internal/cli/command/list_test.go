package command_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
)

// A list takes each argument as it is, also one with commas, and its help is as
// that of pflag's own.
func TestAListTakesArgumentsAsTheyAre(t *testing.T) {
	t.Parallel()
	var got, none []string
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	command.ListVarP(f, &got, "env", "e", "Set a variable: NAME=value")
	command.ListVar(f, &none, "label", "Set a label")
	if err := f.Parse([]string{"-e", "A=1,2", "--env=B=\"x\"", "--env", ""}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"A=1,2", "B=\"x\"", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if none != nil || f.Changed("label") || !f.Changed("env") {
		t.Errorf("label %q, changed %v and %v", none, f.Changed("label"), f.Changed("env"))
	}
	own := pflag.NewFlagSet("run", pflag.ContinueOnError)
	own.StringArrayP("env", "e", nil, "Set a variable: NAME=value")
	own.StringArray("label", nil, "Set a label")
	fresh := pflag.NewFlagSet("run", pflag.ContinueOnError)
	command.ListVarP(fresh, &got, "env", "e", "Set a variable: NAME=value")
	command.ListVar(fresh, &none, "label", "Set a label")
	if fresh.FlagUsages() != own.FlagUsages() || !strings.Contains(own.FlagUsages(), "stringArray") {
		t.Errorf("help\n%s\nof pflag's own\n%s", fresh.FlagUsages(), own.FlagUsages())
	}
}
