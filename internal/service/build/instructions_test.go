package build_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lus/internal/model/build"
)

func TestABuildGivesAnImage(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nRUN echo made > /made\nCOPY a.txt /\n", map[string]string{"a.txt": "hello\n"}).ok(t)
	b.wantFile(r.id, "made", "made")
	b.wantFile(r.id, "a.txt", "hello")
	b.wantFile(r.id, "etc/group", "root:x:0:\nnogroup:x:65534:")
	if !b.hasImage("app:latest") {
		t.Error("the image has no name")
	}
	for _, want := range []string{"#1 [internal] load build definition from Dockerfile", "[2/3] RUN echo made > /made", "naming to docker.io/library/app:latest"} {
		if !strings.Contains(r.output, want) {
			t.Errorf("the progress does not show %q:\n%s", want, r.output)
		}
	}
}

func TestStages(t *testing.T) {
	b := newBuilder(t)
	dockerfile := `FROM busybox AS one
RUN echo one > /out
FROM busybox AS two
RUN echo two > /out
FROM busybox AS never
RUN echo never > /never
FROM busybox
COPY --from=one /out /1
COPY --from=two /out /2
`
	t.Run("the last stage takes from the others", func(t *testing.T) {
		r := b.file(dockerfile, nil).ok(t)
		b.wantFile(r.id, "1", "one")
		b.wantFile(r.id, "2", "two")
		if strings.Contains(r.output, "echo never") {
			t.Error("a stage that nothing needs was built")
		}
	})
	t.Run("target", func(t *testing.T) {
		r := b.file(dockerfile, nil, func(q *build.Request) { q.Target = "two" }).ok(t)
		b.wantFile(r.id, "out", "two")
	})
	t.Run("a target that is not there", func(t *testing.T) {
		r := b.file(dockerfile, nil, func(q *build.Request) { q.Target = "three" })
		wantInvalid(t, r.err, "three")
	})
	t.Run("copy from an image", func(t *testing.T) {
		r := b.file("FROM scratch\nCOPY --from=busybox /etc/passwd /p\n", nil).ok(t)
		if got, _ := b.read(r.id, "p"); !strings.Contains(got, "root:x:0") {
			t.Errorf("/p holds %q", got)
		}
		if n := len(b.config(r.id).RootFS.DiffIDs); n != 1 {
			t.Errorf("%d layers, want 1", n)
		}
	})
}

// S55
func TestArgAndEnv(t *testing.T) {
	b := newBuilder(t)
	two := "2"
	r := b.file("FROM busybox\nARG V=1\nENV E=$V\nRUN echo $V > /v\n", nil, func(q *build.Request) {
		q.Args = map[string]*string{"V": &two, "UNSET": nil}
	}).ok(t)
	b.wantFile(r.id, "v", "2")
	env := b.config(r.id).Config.Env
	if !slices.Contains(env, "E=2") {
		t.Errorf("the image's environment is %v, want E=2 in it", env)
	}
	for _, e := range env {
		if strings.HasPrefix(e, "V=") {
			t.Errorf("the argument V is in the image's environment: %v", env)
		}
	}
	r = b.file("FROM busybox\nARG V=1\nENV E=$V\n", nil).ok(t)
	if env := b.config(r.id).Config.Env; !slices.Contains(env, "E=1") {
		t.Errorf("the image's environment is %v, want the default E=1 in it", env)
	}
}

// S56
func TestCommandForms(t *testing.T) {
	b := newBuilder(t)
	for _, c := range []struct {
		name, lines string
		cmd, entry  []string
	}{
		{"cmd exec", `CMD ["a","b"]`, []string{"a", "b"}, nil},
		{"cmd shell", `CMD a b`, []string{"/bin/sh", "-c", "a b"}, nil},
		{"entrypoint exec", `ENTRYPOINT ["a"]`, nil, []string{"a"}},
		{"entrypoint shell", `ENTRYPOINT a b`, nil, []string{"/bin/sh", "-c", "a b"}},
		{"both", "ENTRYPOINT [\"a\"]\nCMD [\"b\"]", []string{"b"}, []string{"a"}},
		{"other shell", "SHELL [\"/bin/ash\",\"-c\"]\nCMD a", []string{"/bin/ash", "-c", "a"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := b.config(b.file("FROM busybox\n"+c.lines+"\n", nil).ok(t).id).Config
			if !slices.Equal(cfg.Cmd, c.cmd) || !slices.Equal(cfg.Entrypoint, c.entry) {
				t.Errorf("cmd %q, entrypoint %q; want %q, %q", cfg.Cmd, cfg.Entrypoint, c.cmd, c.entry)
			}
		})
	}
	t.Run("the last of two counts, with a warning", func(t *testing.T) {
		r := b.file("FROM busybox\nCMD [\"first\"]\nCMD [\"second\"]\n", nil).ok(t)
		if cmd := b.config(r.id).Config.Cmd; !slices.Equal(cmd, []string{"second"}) {
			t.Errorf("cmd is %q", cmd)
		}
		if !strings.Contains(r.output, "warning") || !strings.Contains(r.output, "Multiple CMD") {
			t.Errorf("no warning about two CMDs:\n%s", r.output)
		}
	})
}

func TestInstructionsThatOnlyDescribe(t *testing.T) {
	b := newBuilder(t)
	r := b.file(`FROM busybox
LABEL team=red
EXPOSE 80 53/udp
VOLUME /data
USER nobody
WORKDIR /srv/app
STOPSIGNAL SIGINT
HEALTHCHECK --interval=3s CMD true
`, nil, func(q *build.Request) { q.Labels = map[string]string{"by": "request"} }).ok(t)
	cfg := b.config(r.id).Config
	if cfg.Labels["team"] != "red" || cfg.Labels["by"] != "request" {
		t.Errorf("labels %v", cfg.Labels)
	}
	for _, p := range []string{"80/tcp", "53/udp"} {
		if _, ok := cfg.ExposedPorts[p]; !ok {
			t.Errorf("port %s is not exposed: %v", p, cfg.ExposedPorts)
		}
	}
	if _, ok := cfg.Volumes["/data"]; !ok {
		t.Errorf("volumes %v", cfg.Volumes)
	}
	if cfg.User != "nobody" || cfg.WorkingDir != "/srv/app" || cfg.StopSignal != "SIGINT" {
		t.Errorf("user %q, working dir %q, stop signal %q", cfg.User, cfg.WorkingDir, cfg.StopSignal)
	}
	if raw := string(b.rawConfig(r.id)); !strings.Contains(raw, `"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":3000000000}`) {
		t.Errorf("no health check in %s", raw)
	}
	history := b.config(r.id).History
	if last := history[len(history)-1]; !strings.Contains(last.CreatedBy, "HEALTHCHECK") || !last.EmptyLayer {
		t.Errorf("the last step in the history is %+v", last)
	}
}

func TestRunSeesUserAndFolder(t *testing.T) {
	b := newBuilder(t)
	r := b.file(`FROM busybox
WORKDIR /srv/deep/er
RUN pwd > /where && chmod 777 /srv/deep/er
USER nobody
RUN id -u > who && echo mine > /dev/stdout
USER 1234:4321
RUN id -u > who2; id -g >> who2
`, nil).ok(t)
	b.wantFile(r.id, "where", "/srv/deep/er")
	b.wantFile(r.id, "srv/deep/er/who", "65534")
	b.wantFile(r.id, "srv/deep/er/who2", "1234\n4321")
	if !strings.Contains(r.output, "mine") {
		t.Error("what a user who is not root wrote to /dev/stdout did not arrive")
	}
	bad := b.file("FROM busybox\nUSER nosuch\nRUN true\n", nil)
	wantInvalid(t, bad.err, "nosuch", "Dockerfile:3")
}

func TestHeredocs(t *testing.T) {
	b := newBuilder(t)
	r := b.file(`FROM busybox
RUN <<EOF
echo first > /one
echo second > /two
EOF
COPY <<X /three
third
X
`, nil).ok(t)
	b.wantFile(r.id, "one", "first")
	b.wantFile(r.id, "two", "second")
	b.wantFile(r.id, "three", "third")
}

func TestCopyFlags(t *testing.T) {
	b := newBuilder(t)
	r := b.file(`FROM busybox
COPY --chmod=750 a /mode
COPY --chown=nobody:nogroup a /owner
COPY --link a /linked
RUN stat -c %a /mode > /seen; stat -c %u:%g /owner >> /seen; cat /linked >> /seen
`, map[string]string{"a": "text"}).ok(t)
	b.wantFile(r.id, "seen", "750\n65534:65534\ntext")
	b.wantFile(r.id, "linked", "text")
	if n := len(b.config(r.id).RootFS.DiffIDs); n != 5 {
		t.Errorf("%d layers, want 5: one of the base and one for each step", n)
	}
}

func TestLinkAsLastStep(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nCOPY a /a\nCOPY --link b /b\nCOPY --link a /c\n", map[string]string{"a": "A", "b": "B"}).ok(t)
	for path, want := range map[string]string{"a": "A", "b": "B", "c": "A"} {
		b.wantFile(r.id, path, want)
	}
	// Building on it needs its chain.
	r = b.file("FROM app\nRUN cat /a /b /c > /all\n", nil, func(q *build.Request) { q.Tags = []string{"upon"} }).ok(t)
	b.wantFile(r.id, "all", "ABA")
}

func TestDockerignore(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nCOPY . /ctx\n", map[string]string{
		".dockerignore": "*.log\nsecret/\n!keep.log\n",
		"a.log":         "x", "keep.log": "kept", "secret/key": "x", "app/main": "m",
	}).ok(t)
	b.wantFile(r.id, "ctx/keep.log", "kept")
	b.wantFile(r.id, "ctx/app/main", "m")
	for _, path := range []string{"ctx/a.log", "ctx/secret/key"} {
		if _, err := b.read(r.id, path); err == nil {
			t.Errorf("%s was sent though it is ignored", path)
		}
	}
}

func TestRunMounts(t *testing.T) {
	b := newBuilder(t)
	t.Run("cache survives a rebuild", func(t *testing.T) {
		line := "FROM busybox\nARG N\nRUN --mount=type=cache,target=/cache echo $N >> /cache/list; cp /cache/list /seen\n"
		for _, n := range []string{"1", "2"} {
			r := b.file(line, nil, func(q *build.Request) { q.Args = map[string]*string{"N": &n} }).ok(t)
			if n == "2" {
				b.wantFile(r.id, "seen", "1\n2")
			}
			if _, err := b.read(r.id, "cache/list"); err == nil {
				t.Error("the cache is in the image")
			}
		}
	})
	t.Run("bind, whole and in part, and of one file", func(t *testing.T) {
		r := b.file(`FROM busybox AS src
RUN mkdir -p /d/e && echo deep > /d/e/f
FROM busybox
RUN --mount=type=bind,target=/ctx cat /ctx/a > /1
RUN --mount=type=bind,from=src,source=/d/e,target=/e cat /e/f > /2
RUN --mount=type=bind,source=a,target=/one/file cat /one/file > /3
RUN --mount=type=bind,from=src,target=/rw,rw touch /rw/new && ls /rw/new > /4
`, map[string]string{"a": "A"}).ok(t)
		b.wantFile(r.id, "1", "A")
		b.wantFile(r.id, "2", "deep")
		b.wantFile(r.id, "3", "A")
		b.wantFile(r.id, "4", "/rw/new")
		for _, stub := range []string{"ctx", "e/f", "one/file", "rw/new"} {
			if text, err := b.read(r.id, stub); err == nil {
				t.Errorf("%s is in the image: %q", stub, text)
			}
		}
	})
	t.Run("bind is read-only", func(t *testing.T) {
		r := b.file("FROM busybox\nRUN --mount=type=bind,target=/ctx touch /ctx/x\n", map[string]string{"a": "A"})
		wantInvalid(t, r.err, "Read-only file system", "Dockerfile:2")
	})
	t.Run("tmpfs", func(t *testing.T) {
		r := b.file("FROM busybox\nRUN --mount=type=tmpfs,target=/t echo x > /t/x; grep ' /t ' /proc/mounts | cut -d' ' -f3 > /kind\n", nil).ok(t)
		b.wantFile(r.id, "kind", "tmpfs")
		if _, err := b.read(r.id, "t/x"); err == nil {
			t.Error("the tmpfs is in the image")
		}
	})
	t.Run("a secret that is required and not given", func(t *testing.T) {
		r := b.file("FROM busybox\nRUN --mount=type=secret,id=key,required=true cat /run/secrets/key\n", nil)
		wantInvalid(t, r.err, "key", "Dockerfile:2")
	})
}

func TestOnbuild(t *testing.T) {
	b := newBuilder(t)
	b.file("FROM busybox\nONBUILD RUN echo later > /later\n", nil, func(q *build.Request) { q.Tags = []string{"base"} }).ok(t)
	r := b.file("FROM base\n", nil).ok(t)
	b.wantFile(r.id, "later", "later")
}

func TestAddUnpacks(t *testing.T) {
	b := newBuilder(t)
	dir := folder(t, map[string]string{"Dockerfile": "FROM busybox\nADD x.tar /unpacked/\n"})
	must(t, os.WriteFile(filepath.Join(dir, "x.tar"), tarOf(t, entry{name: "inside", text: "in"}), 0o644))
	b.wantFile(b.build(dir).ok(t).id, "unpacked/inside", "in")
}

func TestDeletedFilesAreGone(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nRUN mkdir /d && echo 1 > /d/x\nRUN rm -r /d && rm /etc/group\nRUN ls /d /etc/group > /seen 2>&1 || true\n", nil).ok(t)
	if _, err := b.read(r.id, "etc/group"); err == nil {
		t.Error("/etc/group is still there")
	}
	got, _ := b.read(r.id, "seen")
	if strings.Count(got, "No such file") != 2 {
		t.Errorf("a later step sees %q", got)
	}
}

func TestEmptyAndScratchImages(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM scratch\nLABEL a=b\n", nil).ok(t)
	if cfg := b.config(r.id); len(cfg.RootFS.DiffIDs) != 0 || cfg.Config.Labels["a"] != "b" {
		t.Errorf("config %+v", cfg)
	}
	r = b.file("FROM busybox\nENV A=b\n", nil).ok(t)
	if n := len(b.config(r.id).RootFS.DiffIDs); n != 1 {
		t.Errorf("%d layers where nothing was added to one", n)
	}
}

func TestExtraHostsAndShm(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nRUN cp /etc/hosts /h; df -k /dev/shm | tail -1 > /shm\n", nil, func(q *build.Request) {
		q.ExtraHosts = []string{"db:10.9.8.7"}
		q.ShmSize = 3 << 20
	}).ok(t)
	if got, _ := b.read(r.id, "h"); !strings.Contains(got, "10.9.8.7\tdb") {
		t.Errorf("/etc/hosts in the step was %q", got)
	}
	if got, _ := b.read(r.id, "shm"); !strings.Contains(got, "3072") {
		t.Errorf("/dev/shm in the step was %q, want 3072 kB", got)
	}
	if text, err := b.read(r.id, "etc/hosts"); err == nil {
		t.Errorf("the step's /etc/hosts is in the image: %q", text)
	}
}
