package output

import "strings"

// Raw is the format of the name "raw", which Docker has for a few lists: a line
// for each field of a row, and an empty line after it.
const Raw = "raw"

// Lines is what raw shows of a list, each "name:Field"; a name that ends in "?"
// has nothing after its colon where the field is empty, not even a space.
type Lines []string

// Template is the template of raw; quiet is that of -q, which shows the field of
// that name alone.
func (l Lines) Template(quiet string) string {
	var b strings.Builder
	for _, line := range l {
		name, field, _ := strings.Cut(line, ":")
		if quiet != "" {
			if field == quiet {
				return name + ": {{." + field + "}}"
			}
			continue
		}
		if bare, ok := strings.CutSuffix(name, "?"); ok {
			b.WriteString(bare + ":{{with ." + field + "}} {{.}}{{end}}\n")
			continue
		}
		b.WriteString(name + ": {{." + field + "}}\n")
	}
	return strings.TrimSuffix(b.String(), "\n") + "{{println}}" // as text it would be trimmed
}
