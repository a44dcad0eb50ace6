package compose

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/model/compose"
)

// stackRow is one project in ls.
type stackRow struct {
	Name        string
	Status      string
	ConfigFiles string
}

func lsCommand() command {
	return command{
		name: "ls", dry: true, short: "List the projects that run", example: "lus compose ls -a",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			all := f.BoolP("all", "a", false, "those whose containers ended too")
			quiet := f.BoolP("quiet", "q", false, "names only")
			format := f.String("format", "table", "table or json")
			filters := f.StringArray("filter", nil, "only those that fit: name=PATTERN")
			return func(ctx context.Context, args []string) error {
				if len(args) > 0 {
					return wrongUse("ls", "ls takes no arguments")
				}
				if err := tableOrJSON("ls", *format); err != nil {
					return err
				}
				list, err := a.containers(ctx, "", *all)
				if err != nil {
					return err
				}
				rows, err := filtered(stacks(list), *filters)
				switch {
				case err != nil:
					return err
				case *quiet:
					for _, r := range rows {
						fmt.Fprintln(a.Out, r.Name)
					}
					return nil
				case *format == "json":
					return printJSON(a.Out, rows)
				}
				var cells [][]string
				for _, r := range rows {
					cells = append(cells, []string{r.Name, r.Status, r.ConfigFiles})
				}
				return table(a.Out, "NAME\tSTATUS\tCONFIG FILES", cells)
			}
		},
	}
}

// stacks are the projects that containers belong to.
func stacks(list []summary) []stackRow {
	states := map[string]map[string]int{}
	files := map[string][]string{}
	for _, c := range list {
		p := c.Labels[compose.LabelProject]
		if states[p] == nil {
			states[p] = map[string]int{}
		}
		states[p][c.State]++
		for file := range strings.SplitSeq(c.Labels[compose.LabelConfigFiles], ",") {
			if file != "" && !slices.Contains(files[p], file) {
				files[p] = append(files[p], file)
			}
		}
	}
	rows := []stackRow{}
	for _, p := range slices.Sorted(maps.Keys(states)) {
		var parts []string
		for _, s := range slices.Sorted(maps.Keys(states[p])) {
			parts = append(parts, fmt.Sprintf("%s(%d)", s, states[p][s]))
		}
		rows = append(rows, stackRow{p, strings.Join(parts, ", "), strings.Join(files[p], ",")})
	}
	return rows
}

// filtered keeps the projects whose name fits one of the patterns.
func filtered(rows []stackRow, filters []string) ([]stackRow, error) {
	var patterns []*regexp.Regexp
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok || key != "name" {
			return nil, wrongUse("ls", "invalid filter %q: write name=PATTERN", f)
		}
		p, err := regexp.Compile(value) //nolint:forbidigo // it is the pattern that was typed
		if err != nil {
			return nil, wrongUse("ls", "invalid filter %q: %v", f, err)
		}
		patterns = append(patterns, p)
	}
	return slices.DeleteFunc(rows, func(r stackRow) bool {
		return len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(r.Name) })
	}), nil
}
