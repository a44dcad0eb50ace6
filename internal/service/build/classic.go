package build

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/build"
	"lus/internal/service/build/internal/engine"
	"lus/internal/service/build/internal/report"
	"lus/internal/store/content"
)

// mostDockerfile bounds a Dockerfile in bytes.
const mostDockerfile = 16 << 20

// buildClassic builds as Build does and tells it as Docker's builder before
// BuildKit did.
func (s *Service) buildClassic(ctx context.Context, o *opened, job *engine.Job, req *build.Request, progress io.Writer) (string, error) {
	plan, err := plan(job, req)
	if err == nil && plan == nil && job.Attrs["context"] != "" {
		plan, err = fetchedPlan(ctx, o, job, req)
	}
	if err != nil {
		return "", err
	}
	watch := report.New(progressOf(plan, progress))
	watch.Facts = facts(job, req)
	job.Status = watch.Status
	var tell *report.Classic
	if plan != nil {
		tell = report.NewClassic(plan, report.ClassicOptions{
			Out: progress, Build: ids.New(), NoCache: req.NoCache, Known: &s.known,
			BaseID: func(name string) string { return s.imageID(ctx, name) },
		})
		job.Status = func(st *client.SolveStatus) {
			watch.Status(st)
			tell.Status(st)
		}
	}
	res, err := o.engine.Solve(ctx, job)
	watch.Close()
	switch {
	case err != nil && tell != nil:
		tell.Failed(err)
	case tell != nil:
		tell.Done(res.Image)
	}
	if err != nil {
		return "", watch.ExplainClassic(ctx, err)
	}
	return res.Image, nil
}

// plan reads the Dockerfile's steps. It is nil where they are not known
// beforehand: the Dockerfile is elsewhere, or names a frontend of its own.
func plan(job *engine.Job, req *build.Request) (*report.Plan, error) {
	dir, ok := job.Dirs[dirDockerfile]
	if !ok {
		return nil, nil
	}
	text, err := readDockerfile(dir, job.Attrs["filename"], req.Dockerfile == "")
	if err != nil {
		return nil, err
	}
	if report.External(text) {
		return nil, nil
	}
	return planOf(text, req)
}

// fetchedPlan reads the steps of a Dockerfile that is in a context elsewhere,
// which BuildKit fetches now and finds in its cache when it builds.
func fetchedPlan(ctx context.Context, o *opened, job *engine.Job, req *build.Request) (*report.Plan, error) {
	watch := report.New(io.Discard)
	ask := *job
	ask.Attrs, ask.Question, ask.Status, ask.Trace = maps.Clone(job.Attrs), engine.QuestionDockerfile, watch.Status, nil
	ask.CacheTo = nil
	res, err := o.engine.Solve(ctx, &ask)
	watch.Close()
	if err != nil {
		return nil, watch.ExplainClassic(ctx, err)
	}
	if report.External([]byte(res.Text)) {
		return nil, nil
	}
	return planOf([]byte(res.Text), req)
}

func planOf(text []byte, req *build.Request) (*report.Plan, error) {
	return report.NewPlan(text, report.Asked{Target: req.Target, Labels: req.Labels, Args: req.Args})
}

// facts are what helps to explain the errors of a build.
func facts(job *engine.Job, req *build.Request) report.Facts {
	f := report.Facts{Context: job.Dirs[dirContext], Platform: req.Platform}
	if dir, ok := job.Dirs[dirDockerfile]; ok {
		name := job.Attrs["filename"]
		f.Dockerfile = func() (string, []byte) {
			text, err := readDockerfile(dir, name, req.Dockerfile == "")
			if err != nil {
				return "", nil // the error that is explained says it
			}
			return name, text
		}
	}
	return f
}

// readDockerfile reads a file of a context, which may be hostile: no link in it
// leads out of the folder.
func readDockerfile(dir, name string, lower bool) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	// Opening a pipe would wait for somebody who writes to it.
	open := func(name string) (*os.File, error) { return root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) }
	f, err := open(filepath.FromSlash(name))
	if os.IsNotExist(err) && lower {
		f, err = open(strings.ToLower(name))
	}
	if err != nil {
		return nil, errs.New(errs.Invalid, "the Dockerfile cannot be read: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errs.New(errs.Invalid, "the Dockerfile %s is not a file", name)
	}
	return io.ReadAll(io.LimitReader(f, mostDockerfile))
}

// progressOf is where BuildKit's own words go: nowhere when there is a plan.
func progressOf(plan *report.Plan, w io.Writer) io.Writer {
	if plan != nil {
		return io.Discard
	}
	return w
}

// imageID is the id of the local image of this name, empty for none.
func (s *Service) imageID(ctx context.Context, name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	img, err := s.d.Store.ImageStore().Get(s.d.Store.Context(ctx), reference.TagNameOnly(named).String())
	if err != nil {
		return ""
	}
	return img.Labels[content.LabelConfig]
}
