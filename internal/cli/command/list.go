package command

import (
	"strings"

	"github.com/spf13/pflag"
)

// list is the value of a flag that may be given several times. pflag's own writes
// its empty default through a CSV writer with a buffer of 4 kB when it is
// registered, which the forty such flags of `run` cannot afford at each start.
type list struct{ to *[]string }

func (l list) Set(s string) error {
	*l.to = append(*l.to, s)
	return nil
}

func (l list) String() string { return strings.Join(*l.to, ",") }

// Type is what the help shows for the argument.
func (l list) Type() string { return "stringArray" }

// ListVar registers a flag that may be given several times; each argument is
// taken as it is.
func ListVar(f *pflag.FlagSet, to *[]string, name, usage string) { ListVarP(f, to, name, "", usage) }

// ListVarP is ListVar with a short name.
func ListVarP(f *pflag.FlagSet, to *[]string, name, short, usage string) {
	*to = nil
	f.VarP(list{to}, name, short, usage)
}
