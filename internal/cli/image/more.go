package image

import (
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/model/build"
)

// moreFlags are the flags of build that bring secrets and agents along, and
// that say where results and caches go.
type moreFlags struct {
	secrets, ssh, contexts, outputs, cacheFrom, cacheTo, attests, annotations []string
	provenance, sbom                                                          string
	load, push                                                                bool
}

func (m *moreFlags) register(f *pflag.FlagSet) {
	command.ListVar(f, &m.secrets, "secret", "Let RUN --mount=type=secret see a file or variable: id=NAME[,src=FILE|,env=VARIABLE]")
	command.ListVar(f, &m.ssh, "ssh", "Let RUN --mount=type=ssh use your agent or keys: default, or ID=SOCKET|KEY[,KEY]")
	command.ListVar(f, &m.contexts, "build-context", "Add a context for FROM and COPY --from: NAME=PATH, NAME=URL, NAME=docker-image://IMAGE or NAME=oci-layout://PATH")
	command.ListVarP(f, &m.outputs, "output", "o", "Where the result goes instead of the image store: FOLDER, - for a tar on standard output, or type=local|tar|oci|docker|image|registry,dest=PATH")
	f.BoolVar(&m.load, "load", false, "Put the result into the image store: --output=type=docker")
	f.BoolVar(&m.push, "push", false, "Push the result to its registry: --output=type=registry")
	command.ListVar(f, &m.cacheFrom, "cache-from", "Take steps from this cache too: IMAGE, or type=local,src=FOLDER or type=registry,ref=NAME")
	command.ListVar(f, &m.attests, "attest", "Add an attestation to an output that can hold one: type=provenance,mode=max or type=sbom")
	command.ListVar(f, &m.annotations, "annotation", "Annotate the image: KEY=VALUE, or TYPE[,TYPE][PLATFORM]:KEY=VALUE; a type is manifest, index, manifest-descriptor or index-descriptor")
	f.StringVar(&m.provenance, "provenance", "", "Shorthand for --attest=type=provenance: true, false or mode=max")
	f.StringVar(&m.sbom, "sbom", "", "Shorthand for --attest=type=sbom: true, false or generator=IMAGE")
	command.ListVar(f, &m.cacheTo, "cache-to", "Keep the steps here too: IMAGE, or type=inline, type=local,dest=FOLDER or type=registry,ref=NAME")
}

// fill puts what the flags say into the request. Files are read here, as the
// user, and paths become absolute.
// A result for standard output is refused where that is a terminal.
func (m *moreFlags) fill(r *build.Request, terminal bool) (err error) {
	if r.Secrets, err = secrets(m.secrets); err != nil {
		return err
	}
	if r.SSH, err = agents(m.ssh); err != nil {
		return err
	}
	if r.Contexts, err = contexts(m.contexts); err != nil {
		return err
	}
	if r.Outputs, err = outputs(m.outputs, terminal); err != nil {
		return err
	}
	if m.load {
		r.Outputs = append(r.Outputs, build.Output{Type: "docker"})
	}
	if m.push {
		r.Outputs = append(r.Outputs, build.Output{Type: "registry"})
	}
	if err := m.annotate(r); err != nil {
		return err
	}
	if r.Attests, err = m.attestations(); err != nil {
		return err
	}
	if r.CacheFrom, err = caches(m.cacheFrom, "src"); err != nil {
		return err
	}
	r.CacheTo, err = caches(m.cacheTo, "dest")
	return err
}

// attestations are the parameters by type, as BuildKit reads them.
func (m *moreFlags) attestations() (map[string]string, error) {
	out := map[string]string{}
	add := func(text string) error {
		f, err := fields("attest", text)
		if err != nil {
			return err
		}
		kind, disabled := f["type"], f["disabled"] == "true"
		if kind != "provenance" && kind != "sbom" {
			return errs.New(errs.Invalid, "invalid --attest %q: the type is provenance or sbom", text)
		}
		if disabled {
			delete(out, kind)
			return nil
		}
		var rest []string
		for part := range strings.SplitSeq(text, ",") {
			if !strings.HasPrefix(part, "type=") && !strings.HasPrefix(part, "disabled=") {
				rest = append(rest, part)
			}
		}
		out[kind] = strings.Join(rest, ",")
		return nil
	}
	list := slices.Clone(m.attests)
	for kind, text := range map[string]string{"provenance": m.provenance, "sbom": m.sbom} {
		switch text {
		case "":
		case "true":
			list = append(list, "type="+kind)
		case "false":
			list = append(list, "type="+kind+",disabled=true")
		default:
			list = append(list, "type="+kind+","+text)
		}
	}
	for _, text := range list {
		if err := add(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fields cuts "a=1,b=2" apart, by the rules of CSV, as docker does.
func fields(flag, text string) (map[string]string, error) {
	record, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid --%s %q: %w", flag, text, err)
	}
	out := map[string]string{}
	for _, f := range record {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, errs.New(errs.Invalid, "invalid --%s: %q must be a key=value pair", flag, f)
		}
		out[strings.ToLower(strings.TrimSpace(key))] = value
	}
	return out, nil
}

// secrets reads each secret from its file or variable; one that names neither
// is the variable of its name where there is one, else the file.
func secrets(list []string) (map[string][]byte, error) {
	var out map[string][]byte
	for _, text := range list {
		f, err := fields("secret", text)
		if err != nil {
			return nil, err
		}
		id, file, variable := f["id"], f["src"], f["env"]
		if file == "" {
			file = f["source"]
		}
		for key := range f {
			switch key {
			case "id", "src", "source", "env", "type":
			default:
				return nil, errs.New(errs.Invalid, "invalid --secret: unexpected key %q: write it as id=NAME,src=FILE", key)
			}
		}
		if id == "" {
			return nil, errs.New(errs.Invalid, "invalid --secret: it needs an id: write it as id=NAME,src=FILE")
		}
		if f["type"] == "env" && variable == "" {
			variable, file = file, ""
		}
		if file == "" && variable == "" {
			if _, ok := os.LookupEnv(id); ok {
				variable = id
			} else {
				file = id
			}
		}
		if out == nil {
			out = map[string][]byte{}
		}
		if variable != "" {
			out[id] = []byte(os.Getenv(variable))
			continue
		}
		if out[id], err = secretFile(file); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxSecret is the most that BuildKit takes.
const maxSecret = 500 * 1024

func secretFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errs.New(errs.NotFound, "the secret's file %s does not exist", path)
	case err != nil:
		return nil, errs.New(errs.Invalid, "the secret cannot be read: %w", err)
	case len(data) > maxSecret:
		return nil, errs.New(errs.Invalid, "the secret %s is larger than %d kB", path, maxSecret/1024)
	}
	return data, nil
}

// agents are sockets and keys by id.
func agents(list []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, text := range list {
		id, paths, _ := strings.Cut(text, "=")
		if paths == "" {
			paths = os.Getenv("SSH_AUTH_SOCK")
		}
		if paths == "" {
			return nil, errs.New(errs.Invalid, "--ssh %s: no agent runs (SSH_AUTH_SOCK is empty): start one, or name a key as %s=FILE", text, id)
		}
		for p := range strings.SplitSeq(paths, ",") {
			full, err := filepath.Abs(p)
			if err != nil {
				return nil, err
			}
			out[id] = append(out[id], full)
		}
	}
	return out, nil
}

func contexts(list []string) (map[string]string, error) {
	const layout = "oci-layout://"
	out := map[string]string{}
	for _, text := range list {
		name, where, ok := strings.Cut(text, "=")
		if !ok || where == "" {
			return nil, errs.New(errs.Invalid, "invalid --build-context %q: write it as NAME=PATH", text)
		}
		scheme, path := "", where
		if rest, ok := strings.CutPrefix(where, layout); ok {
			scheme, path = layout, rest
		}
		if scheme != "" || !isURL(where) {
			full, err := filepath.Abs(path)
			if err != nil {
				return nil, err
			}
			where = scheme + full
		}
		out[name] = where
	}
	return out, nil
}

func outputs(list []string, terminal bool) (out []build.Output, err error) {
	for _, text := range list {
		f := map[string]string{"type": "local", "dest": text}
		if text == "-" {
			f = map[string]string{"type": "tar", "dest": "-"}
		} else if strings.Contains(text, "=") {
			if f, err = fields("output", text); err != nil {
				return nil, err
			}
		}
		if f["dest"] == "" && (f["type"] == "tar" || f["type"] == "oci") {
			f["dest"] = "-"
		}
		if f["dest"] == "-" && terminal {
			return nil, errs.New(errs.Invalid, "--output: a result is not written to a terminal: redirect it, or name a file, as in type=tar,dest=out.tar")
		}
		o, err := place("output", f, "dest")
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// caches are places for a cache; a name alone is one in a registry.
func caches(list []string, path string) (out []build.Output, err error) {
	for _, text := range list {
		f := map[string]string{"type": "registry", "ref": text}
		if strings.Contains(text, "=") {
			if f, err = fields("cache-from or --cache-to", text); err != nil {
				return nil, err
			}
		}
		switch f["type"] {
		case "registry", "local", "inline":
		default:
			return nil, errs.New(errs.Invalid, "invalid cache type %q: it can be registry, local or inline", f["type"])
		}
		o, err := place("cache-from or --cache-to", f, path)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// place takes the type out of the fields and makes the path absolute.
func place(flag string, f map[string]string, path string) (build.Output, error) {
	o := build.Output{Type: f["type"], Attrs: f}
	delete(f, "type")
	if o.Type == "" {
		return o, errs.New(errs.Invalid, "invalid --%s: it needs a type", flag)
	}
	if p := f[path]; p != "" && p != "-" {
		full, err := filepath.Abs(p)
		if err != nil {
			return o, err
		}
		f[path] = full
	}
	return o, nil
}
