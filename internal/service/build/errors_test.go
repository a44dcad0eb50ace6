package build_test

import (
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/build"
)

func wantInvalid(t *testing.T, err error, parts ...string) {
	t.Helper()
	wantKind(t, err, errs.Invalid, parts...)
}

func wantKind(t *testing.T, err error, kind errs.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := errs.KindOf(err); got != kind {
		t.Errorf("the error's kind is %d, want %d: %v", got, kind, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error does not say %q:\n%v", p, err)
		}
	}
}

// B5, S62
func TestABadDockerfile(t *testing.T) {
	b := newBuilder(t)
	for _, c := range []struct {
		name, dockerfile string
		want             []string
	}{
		{"typo", "# a comment\nFORM busybox\nRUN true\n",
			[]string{"Dockerfile:2: ", "FORM", "did you mean FROM?", " >   2 | FORM busybox"}},
		{"missing source", "FROM busybox\nRUN true\nCOPY nosuch /x\n",
			[]string{"Dockerfile:3: ", `"/nosuch" is not in the build context`, " >   3 | COPY nosuch /x", "hint: ", ".dockerignore"}},
		{"failing step", "FROM busybox\nRUN echo about to fail >&2; false\n",
			[]string{"Dockerfile:2: ", "exit code 1", " >   2 | RUN echo about to fail", "last output", "    about to fail"}},
		{"command not found", "FROM busybox\nRUN frobnicate\n",
			[]string{"Dockerfile:2: ", "exit code 127", "hint: the command was not found"}},
		{"no FROM", "RUN true\n", []string{"Dockerfile:1: ", "hint: a Dockerfile begins with FROM"}},
		{"empty", "", []string{"begins with FROM"}},
		{"unknown flag", "FROM busybox\nCOPY --frm=x a b\n", []string{"Dockerfile:2: ", "--frm"}},
		{"missing argument", "FROM busybox\nWORKDIR\n", []string{"Dockerfile:2: ", "WORKDIR"}},
		{"unknown stage", "FROM busybox\nCOPY --from=9 /a /a\n", []string{"invalid stage index 9"}},
		{"several lines", "FROM busybox\nRUN true && \\\n  false\nRUN true\n", []string{"Dockerfile:2: ", " >   2 | RUN true", " >   3 |   false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.file(c.dockerfile, nil)
			wantInvalid(t, r.err, c.want...)
			if b.hasImage("app:latest") {
				t.Error("a failed build left an image")
			}
			if r.err != nil && strings.Contains(r.err.Error(), "failed to solve") {
				t.Errorf("the error speaks of the solver:\n%v", r.err)
			}
		})
	}
}

func TestAFailedBuildKeepsTheImageBefore(t *testing.T) {
	b := newBuilder(t)
	before := b.file("FROM busybox\nRUN echo 1 > /n\n", nil).ok(t)
	wantInvalid(t, b.file("FROM busybox\nRUN echo 2 > /n; exit 3\n", nil).err, "exit code 3")
	img, err := b.store.ImageStore().Get(t.Context(), "docker.io/library/app:latest")
	must(t, err)
	if img.Labels["lus/config"] != before.id {
		t.Errorf("the name stands for %s, want %s", img.Labels["lus/config"], before.id)
	}
}

func TestAMissingBaseImage(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM localhost:1/no/such:1\n", nil)
	wantKind(t, r.err, errs.Unavailable, "Dockerfile:1: ", "localhost:1/no/such:1", "not here", "lus image import")
}

func TestBadRequests(t *testing.T) {
	b := newBuilder(t)
	dir := folder(t, map[string]string{"Dockerfile": "FROM busybox\n"})
	for name, c := range map[string]struct {
		change func(*build.Request)
		want   string
	}{
		"tag":             {func(q *build.Request) { q.Tags = []string{"UPPER"} }, "UPPER"},
		"tag with digest": {func(q *build.Request) { q.Tags = []string{"a@sha256:" + strings.Repeat("0", 64)} }, "digest"},
		"network":         {func(q *build.Request) { q.NetworkMode = "mine" }, "default, none or host"},
		"host":            {func(q *build.Request) { q.ExtraHosts = []string{"db"} }, "name:address"},
		"host injection":  {func(q *build.Request) { q.ExtraHosts = []string{"a\n1.2.3.4 b:10.0.0.1"} }, "name:address"},
		"shm":             {func(q *build.Request) { q.ShmSize = -1 }, "/dev/shm"},
		"no folder":       {func(q *build.Request) { q.ContextDir = dir + "/nosuch" }, "does not exist"},
		"file as folder":  {func(q *build.Request) { q.ContextDir = dir + "/Dockerfile" }, "not a folder"},
		"relative":        {func(q *build.Request) { q.ContextDir = "." }, "absolute"},
		"no context":      {func(q *build.Request) { q.ContextDir = "" }, "one context"},
		"two contexts":    {func(q *build.Request) { q.Remote = "https://example.com/a.git" }, "one context"},
		"remote":          {func(q *build.Request) { q.ContextDir, q.Remote = "", "file:///etc" }, "neither a folder"},
		"platform":        {func(q *build.Request) { q.Platform = "linux/what/is/this" }, "platform"},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.build(dir, c.change)
			if r.err == nil || !strings.Contains(r.err.Error(), c.want) || (errs.KindOf(r.err) != errs.Invalid && errs.KindOf(r.err) != errs.Unsupported) {
				t.Errorf("error %v (kind %d), want one that says %q", r.err, errs.KindOf(r.err), c.want)
			}
		})
	}
}

func TestQuietSaysNothing(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nRUN echo loud\n", nil, func(q *build.Request) { q.Quiet = true }).ok(t)
	if r.output != "" {
		t.Errorf("a quiet build said %q", r.output)
	}
}
