package composefile

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
)

// note is something to say of a key.
type note struct {
	finding
	key string
	why string
}

// judge looks up the fate of every key the project sets: it returns what has no
// effect, and an error for what must not be left out in silence.
func judge(p *types.Project, docs func() documents) ([]string, error) {
	t := fates()
	var notes, harmful []note
	walk(reflect.ValueOf(*p), place{}, func(at place, v reflect.Value) bool {
		f, known := t[at.pattern]
		short := strings.Join(at.path[min(2, len(at.path)-1):], ".") // the file's line says whose it is
		switch {
		case !known || f.when != nil && !f.when(v), inherited(p, at, v):
			return false
		case f.what == idle:
			notes = append(notes, note{docs().at(at.path...), short, f.why})
		case f.what == refused:
			harmful = append(harmful, note{docs().at(at.path...), strings.Join(at.path, "."), f.why})
		}
		return f.what == carried
	})
	for name, s := range p.Services {
		if policy := ignoredRetries(s); policy != "" {
			at := docs().at("services", name, "deploy", "restart_policy", "max_attempts")
			notes = append(notes, note{at, "deploy.restart_policy.max_attempts", "has no effect with condition: " + policy + "; write on-failure"})
		}
	}
	notes = append(notes, versions(p.ComposeFiles, docs)...)
	if len(harmful) > 0 {
		slices.SortFunc(harmful, note.order)
		return nil, harmful[0].refusal()
	}
	slices.SortFunc(notes, note.order)
	var out []string
	for _, n := range notes {
		out = append(out, n.where()+n.key+": "+n.why)
	}
	return slices.Compact(out), nil
}

// inherited says that a container that runs before a service has a key from
// there: it is spoken of where it stands.
func inherited(p *types.Project, at place, v reflect.Value) bool {
	if len(at.path) != 5 || !strings.HasPrefix(at.pattern, "services.*.pre_start.*.") {
		return false
	}
	of := reflect.ValueOf(p.Services[at.path[1]].ContainerSpec)
	for i := range of.NumField() {
		if key, _ := keyOf(of.Type().Field(i)); key == at.path[4] {
			return reflect.DeepEqual(of.Field(i).Interface(), v.Interface())
		}
	}
	return false
}

func (n note) order(m note) int {
	return cmp.Or(cmp.Compare(n.file, m.file), cmp.Compare(n.line, m.line), cmp.Compare(n.key, m.key))
}

func (n note) refusal() error {
	n.text = n.key + ": " + n.why
	return errs.New(errs.Unsupported, "%s", n.finding)
}

// ignoredRetries is the condition under which a container is restarted without
// a limit although one is given; nothing where there is none.
func ignoredRetries(s types.ServiceConfig) string {
	if s.Restart != "" || s.Deploy == nil || s.Deploy.RestartPolicy == nil || s.Deploy.RestartPolicy.MaxAttempts == nil {
		return ""
	}
	if c := cmp.Or(s.Deploy.RestartPolicy.Condition, "any"); c != "on-failure" {
		return c
	}
	return ""
}

// versions finds version: keys, which the library drops while it reads. Few
// files have one, so the text is searched before it is parsed.
func versions(files []string, docs func() documents) []note {
	seen := slices.ContainsFunc(files, func(file string) bool {
		data, err := os.ReadFile(file)
		return err == nil && bytes.Contains(data, []byte("version"))
	})
	if !seen {
		return nil
	}
	var out []note
	for _, d := range docs() {
		if _, line := child(d.root, "version"); line > 0 {
			out = append(out, note{finding{file: d.file, line: line}, "version", fates()["version"].why})
		}
	}
	return out
}

// where begins a message: file and line, as far as they are known.
func (f finding) where() string {
	switch {
	case f.file == "":
		return ""
	case f.line == 0:
		return f.file + ": "
	}
	return fmt.Sprintf("%s:%d: ", f.file, f.line)
}

// String is the whole message: where, what, the line itself and what to do.
func (f finding) String() string {
	s := f.where() + f.text
	if f.line > 0 {
		if line := lineOf(f.file, f.line); line != "" {
			s += fmt.Sprintf("\n  %d | %s", f.line, line)
		}
	}
	if f.hint != "" {
		s += "\n  " + f.hint
	}
	return s
}
