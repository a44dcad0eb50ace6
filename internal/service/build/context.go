package build

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/build"
	"lus/internal/service/build/internal/engine"
	"lus/internal/service/build/internal/untar"
)

// The names under which the frontend asks for folders.
const (
	dirContext    = "context"
	dirDockerfile = "dockerfile"
)

const defaultDockerfile = "Dockerfile"

// context sets where the files come from. It returns what removes those that
// were only unpacked for this build.
func (s *Service) context(ctx context.Context, j *engine.Job, req *build.Request) (_ func(), err error) {
	given := 0
	for _, is := range []bool{req.ContextDir != "", req.Context != nil, req.Remote != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return nil, errs.New(errs.Invalid, "a build needs one context: a folder, a tar or a URL")
	}
	var temporary []string
	remove := func() {
		for _, dir := range temporary {
			if err := os.RemoveAll(dir); err != nil {
				s.d.Log.Warn("removing a build's temporary folder", "dir", dir, "err", err)
			}
		}
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	temp := func() (string, error) {
		dir, err := s.tempDir()
		if err == nil {
			temporary = append(temporary, dir)
		}
		return dir, err
	}
	j.Dirs = map[string]string{}
	switch {
	case req.Remote == build.InSession:
		if req.Session == "" {
			return nil, errs.New(errs.Invalid, "a context in a client's session needs the session's id")
		}
	case req.Remote != "":
		j.Attrs["context"] = req.Remote
		err = remote(req.Remote)
	case req.Context != nil:
		err = tarContext(ctx, j, req, temp)
	default:
		err = folder(j, req.ContextDir)
	}
	if err != nil {
		return nil, err
	}
	if err := s.dockerfile(ctx, j, req, temp); err != nil {
		return nil, err
	}
	return remove, nil
}

// contexts adds the further contexts, which FROM and COPY --from know by name.
func contexts(j *engine.Job, req *build.Request) error {
	for asked, where := range req.Contexts {
		name, err := contextName(asked)
		if err != nil {
			return err
		}
		if place, ok := strings.CutPrefix(where, layoutScheme); ok {
			if err := layout(j, name, place); err != nil {
				return err
			}
			continue
		}
		if strings.HasPrefix(where, "docker-image://") || remote(where) == nil {
			j.Attrs["context:"+name] = where
			if slices.Contains(req.Here, asked) {
				j.Attrs[engine.AttrHere] = strings.TrimPrefix(j.Attrs[engine.AttrHere]+","+strings.TrimPrefix(where, "docker-image://"), ",")
			}
			continue
		}
		if st, err := os.Stat(where); !filepath.IsAbs(where) || err != nil || !st.IsDir() {
			return errs.New(errs.Invalid, "the context %s=%s is neither a folder, nor docker-image://NAME, nor oci-layout://PATH, nor the URL of a Git repository or a tar", name, where)
		}
		if j.Dirs == nil {
			j.Dirs = map[string]string{}
		}
		j.Dirs[name] = filepath.Clean(where)
		j.Attrs["context:"+name] = "local:" + name
	}
	return nil
}

// contextName is the name by which the frontend looks for a context: that of an
// image, for it may stand for one.
func contextName(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || name == dirContext || name == dirDockerfile {
		return "", errs.New(errs.Invalid, "invalid name %q for a context: it is like an image's, as docs or golang:1.25", name)
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest"), nil
}

const layoutScheme = "oci-layout://"

// layout adds an image of an OCI layout as a context: PATH, PATH:TAG or
// PATH@DIGEST.
func layout(j *engine.Job, name, place string) error {
	dir, digest, ok := strings.Cut(place, "@")
	if !ok {
		var tag string
		if i := strings.LastIndexByte(place, ':'); i > strings.LastIndexByte(place, '/') {
			dir, tag = place[:i], place[i+1:]
		}
		var err error
		if digest, err = engine.LayoutDigest(dir, tag); err != nil {
			return err
		}
	}
	if !filepath.IsAbs(dir) {
		return errs.New(errs.Invalid, "the OCI layout %q of the context %s is not an absolute path", dir, name)
	}
	id := ids.New()
	j.Layouts[id] = dir
	j.Attrs["context:"+name] = layoutScheme + id + "@" + digest
	return nil
}

// tempDir makes a folder that is gone after the build, and after a crash of
// the daemon at the next start.
func (s *Service) tempDir() (string, error) {
	return os.MkdirTemp(s.d.Root, temporaryPrefix)
}

func remote(url string) error {
	for _, scheme := range []string{"https://", "http://", "git://", "git@", "ssh://", "github.com/"} {
		if strings.HasPrefix(url, scheme) {
			return nil
		}
	}
	return errs.New(errs.Invalid, "invalid context %q: it is neither a folder nor the URL of a Git repository or a tar", url)
}

func tarContext(ctx context.Context, j *engine.Job, req *build.Request, temp func() (string, error)) error {
	dir, err := temp()
	if err != nil {
		return err
	}
	if err := untar.Unpack(ctx, req.Context, dir); err != nil {
		return err
	}
	j.Dirs[dirContext] = dir
	j.ContextKey = "tar:" + strings.Join(j.Names, ",")
	if len(j.Names) == 0 {
		j.ContextKey = "tar:" + ids.New()
	}
	return nil
}

func folder(j *engine.Job, dir string) error {
	if !filepath.IsAbs(dir) {
		return errs.New(errs.Invalid, "the context %q is not an absolute path", dir)
	}
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.Invalid, "the context %s does not exist", dir)
	}
	if err != nil {
		return errs.New(errs.Invalid, "the context cannot be read: %w", err)
	}
	if !st.IsDir() {
		return errs.New(errs.Invalid, "the context %s is not a folder: name its folder, and the Dockerfile with -f", dir)
	}
	j.Dirs[dirContext] = filepath.Clean(dir)
	j.ContextKey = "dir:" + filepath.Clean(dir)
	return nil
}

// dockerfile sets where the Dockerfile is: given as text, by a URL, beside or
// outside the context, in it, or in a remote one.
func (s *Service) dockerfile(ctx context.Context, j *engine.Job, req *build.Request, temp func() (string, error)) error {
	name := req.Dockerfile
	if name == "" {
		name = defaultDockerfile
	}
	if text := req.DockerfileText; len(text) > 0 || elsewhere(name) {
		if elsewhere(name) {
			var err error
			if text, err = s.fetchDockerfile(ctx, name); err != nil {
				return err
			}
		}
		dir, err := temp()
		if err != nil {
			return err
		}
		j.Attrs["dockerfilekey"] = dirDockerfile
		j.Attrs["filename"] = defaultDockerfile
		j.Dirs[dirDockerfile] = dir
		return os.WriteFile(filepath.Join(dir, defaultDockerfile), bytes.TrimPrefix(text, []byte("\ufeff")), 0o600)
	}
	if req.Remote != "" {
		j.Attrs["filename"] = name
		return nil
	}
	path := name
	if !filepath.IsAbs(path) {
		if req.Context != nil && !filepath.IsLocal(name) {
			return errs.New(errs.Invalid, "the Dockerfile %s lies outside the context", name)
		}
		path = filepath.Join(j.Dirs[dirContext], name)
	} else if req.Context != nil {
		return errs.New(errs.Invalid, "the Dockerfile %s lies outside the context", name)
	}
	j.Dirs[dirDockerfile] = filepath.Dir(path)
	j.Attrs["filename"] = filepath.Base(path)
	return readable(path, name, req)
}

// readable says early what the frontend would say late and dimly.
func readable(path, name string, req *build.Request) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && req.Dockerfile == "" {
		// The frontend takes this name too.
		st, err = os.Lstat(filepath.Join(filepath.Dir(path), "dockerfile"))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && req.Context != nil:
		return errs.New(errs.Invalid, "there is no %s in the context: name the Dockerfile with -f", name)
	case errors.Is(err, fs.ErrNotExist):
		return errs.New(errs.Invalid, "there is no %s: name the Dockerfile with -f", path)
	case err != nil:
		return errs.New(errs.Invalid, "the Dockerfile cannot be read: %w", err)
	case st.IsDir():
		return errs.New(errs.Invalid, "%s is a folder, not a Dockerfile", path)
	case !mayBeRead(path, st):
		return errs.New(errs.Invalid, "%s is not a file that can be read as a Dockerfile", path)
	}
	return nil
}

// mayBeRead tells what is read to its end from what could have none, as a pipe. Where
// a link leads nowhere, or out of its folder, the frontend says so.
func mayBeRead(path string, st fs.FileInfo) bool {
	if st.Mode()&fs.ModeSymlink == 0 {
		return st.Mode().IsRegular()
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return true
	}
	defer func() { _ = root.Close() }()
	st, err = root.Stat(filepath.Base(path))
	return err != nil || st.Mode().IsRegular()
}
