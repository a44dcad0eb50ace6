package command

import "strings"

// Pairs reads flags of key=value, of which the last of a key counts; nil where
// there are none: the API keeps apart what is empty and what was not given.
func Pairs(list []string) map[string]string {
	if len(list) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, s := range list {
		key, value, _ := strings.Cut(s, "=")
		out[key] = value
	}
	return out
}
