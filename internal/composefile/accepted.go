package composefile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/atomicfile"
	"lus/internal/base/version"
)

// Most of the time that reading a project takes goes into compiling the
// specification's schema, only to find each time that the files are still
// valid. So what the schema has accepted is remembered: the exact bytes of the
// files, the variables that were filled in, and the library's version. Only
// where all of these are the same is the schema left out; whatever goes wrong
// then is read again with it, so an invalid file always gets its message.

// accepted is what is remembered of a set of files.
type accepted struct {
	Variables []string `json:"variables"` // names only
	Sum       string   `json:"sum"`       // of version, files and the variables' values
}

// memory is where it is remembered for one set of files.
type memory struct {
	path    string // empty: nothing is remembered
	version string
	options *cli.ProjectOptions
}

// remembering says where the acceptance of these files is remembered. Nothing
// is where they cannot be read twice or the user has no folder for it.
func remembering(options *cli.ProjectOptions) memory {
	dir, err := os.UserCacheDir()
	if err != nil || slices.Contains(options.ConfigPaths, "-") {
		return memory{}
	}
	h := sha256.New()
	for _, f := range files(options.ConfigPaths) {
		fmt.Fprintf(h, "%q", f)
	}
	return memory{path: filepath.Join(dir, "lus", "compose", hex.EncodeToString(h.Sum(nil))[:32]), version: schemaVersion(), options: options}
}

// schemaVersion names who judges: the schema itself, and the program with the code around it.
func schemaVersion() string {
	sum := sha256.Sum256([]byte(schema.Schema))
	v := hex.EncodeToString(sum[:]) + " " + version.String()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/compose-spec/compose-go/v2" {
				v += " " + d.Version + " " + d.Sum
			}
		}
	}
	return v
}

// holds says that the schema accepted just this before.
func (m memory) holds() bool {
	if m.path == "" {
		return false
	}
	data, err := os.ReadFile(m.path)
	if err != nil {
		return false
	}
	var a accepted
	if json.Unmarshal(data, &a) != nil {
		return false
	}
	sum, ok := m.sum(a.Variables)
	return ok && sum == a.Sum
}

// sum is over everything on which the schema's verdict depends.
func (m memory) sum(variables []string) (string, bool) {
	if m.path == "" {
		return "", false
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q", m.version)
	for _, f := range files(m.options.ConfigPaths) {
		data, err := regular(f)
		if err != nil {
			return "", false
		}
		fmt.Fprintf(h, "file %d\n", len(data))
		h.Write(data)
	}
	for _, name := range variables {
		value, set := m.options.Environment[name]
		fmt.Fprintf(h, "variable %q %t %q\n", name, set, value)
	}
	return hex.EncodeToString(h.Sum(nil)), true
}

// keep remembers that the schema accepted the files with these variables. That
// it cannot be kept costs only time.
func (m memory) keep(variables map[string]bool) {
	if m.path == "" || variables[consts.ComposeProjectName] {
		return // the library sets this one itself while it reads
	}
	a := accepted{Variables: slices.Sorted(maps.Keys(variables))}
	var ok bool
	if a.Sum, ok = m.sum(a.Variables); !ok {
		return
	}
	data, err := json.Marshal(a)
	if err != nil || os.MkdirAll(filepath.Dir(m.path), 0o700) != nil {
		return
	}
	_ = atomicfile.Write(m.path, data, 0o600, atomicfile.Crash)
}

// read loads the project, or takes it as it was when all was the same.
func (r *reader) read(ctx context.Context) (*types.Project, error) {
	options, err := r.prepare()
	if err != nil {
		return nil, err
	}
	known := r.remember(options)
	if p := known.project(); p != nil {
		r.trusted, r.recalled = true, true
		return p, nil
	}
	if err := loops(files(options.ConfigPaths)); err != nil {
		return nil, err
	}
	p, err := r.judged(ctx, options)
	if err == nil && !r.more.outside {
		known.keep(p)
	}
	return p, err
}

// judged loads the project, without the schema where it accepted the same before.
func (r *reader) judged(ctx context.Context, options *cli.ProjectOptions) (*types.Project, error) {
	m := remembering(options)
	if m.holds() {
		r.trusted = true
		p, err := options.LoadProject(ctx)
		// The files were read once more for this: they may have changed since.
		if err == nil && p.Name != "" && m.holds() {
			return p, nil
		}
		r.trusted = false
		if options, err = r.prepare(); err != nil {
			return nil, err
		}
	}
	before, known := m.sum(nil)
	p, err := options.LoadProject(ctx)
	after, _ := m.sum(nil)
	if err == nil && known && before == after && !r.more.outside {
		m.keep(r.variables)
	}
	return p, err
}

// notice is how the library is told to leave the schema out, and how the names
// of the variables it fills in are learnt.
func (r *reader) notice(o *loader.Options) {
	o.SkipValidation = r.trusted
	if o.Interpolate == nil {
		return // only the files are looked for yet
	}
	r.fewerCasts(o)
	lookup := o.Interpolate.LookupValue
	o.Interpolate.LookupValue = func(name string) (string, bool) {
		r.variables[name] = true
		return lookup(name)
	}
}

// fewerCasts leaves out the rules by which the library turns texts into numbers
// and truths that are for keys no file has: it tries all of them on every value,
// which takes a sixth of the time that reading takes.
func (r *reader) fewerCasts(o *loader.Options) {
	if r.options == nil {
		return
	}
	var text []byte
	for _, f := range files(r.options.ConfigPaths) {
		data, err := regular(f)
		if err != nil {
			return
		}
		text = append(text, data...)
	}
	// Other files may have other keys, and an escape may hide one.
	if slices.Contains(r.options.ConfigPaths, "-") || bytes.Contains(text, []byte("include")) || bytes.Contains(text, []byte("extends")) || bytes.ContainsRune(text, '\\') {
		return
	}
	mapping := maps.Clone(o.Interpolate.TypeCastMapping)
	maps.DeleteFunc(mapping, func(p tree.Path, _ interpolation.Cast) bool {
		return slices.ContainsFunc(p.Parts(), func(key string) bool {
			return key != tree.PathMatchAll && key != tree.PathMatchList && !bytes.Contains(text, []byte(key))
		})
	})
	o.Interpolate.TypeCastMapping = mapping
}
