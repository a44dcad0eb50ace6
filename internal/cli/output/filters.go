package output

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

// FilterFlag registers --filter. What is no name=value is a wrong call, as other
// flags with a wrong value are.
func FilterFlag(f *pflag.FlagSet, short, usage string) *[]string {
	list := &filterFlag{}
	f.VarP(list, "filter", short, usage)
	return (*[]string)(list)
}

// filterFlag is the value of --filter.
type filterFlag []string

// Set adds a filter.
func (l *filterFlag) Set(s string) error {
	if s == "" {
		return nil
	}
	if !strings.Contains(s, "=") {
		return errs.New(errs.Invalid, "bad format of filter (expected name=value)")
	}
	*l = append(*l, s)
	return nil
}

// String is the value.
func (l *filterFlag) String() string { return strings.Join(*l, ", ") }

// Type is what the help shows.
func (l *filterFlag) Type() string { return "filter" }

// Filters turns key=value flags into the query of a list.
func Filters(list []string) (url.Values, error) {
	q := url.Values{}
	if len(list) == 0 {
		return q, nil
	}
	f := map[string]map[string]bool{}
	for _, s := range list {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, errs.New(errs.Invalid, "invalid filter '%s': write key=value", s)
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if f[key] == nil {
			f[key] = map[string]bool{}
		}
		f[key][strings.TrimSpace(value)] = true
	}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	q.Set("filters", string(data))
	return q, nil
}
