package scenarios

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// stdout builds without a name and returns what the steps print. Where they are
// the same as in another build they come from the cache and print nothing.
func stdout(t *testing.T, s *stack.Stack, dockerfile string, args ...string) string {
	t.Helper()
	r := s.Lus(append(append([]string{"build", "--progress", "plain"}, args...), stack.Folder(t, map[string]string{"Dockerfile": dockerfile}))...)
	r.Want(t, 0)
	return r.Err
}

// What a flag changes in a build, one by one.
func TestFlagsOfBuild(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const stages = "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid > /1\nFROM one AS two\nRUN cat /proc/sys/kernel/random/uuid > /2\nFROM two\nCMD [\"cat\", \"/1\", \"/2\"]\n"
	for name, try := range map[string]func(t *testing.T){
		"no-cache and no-cache-filter": func(t *testing.T) {
			image := tagged(t, s, "again")
			dir := stack.Folder(t, map[string]string{"Dockerfile": stages})
			build := func(args ...string) []string {
				s.Lus(append(append([]string{"build", "-t", image}, args...), dir)...).Want(t, 0)
				return strings.Fields(s.OK(t, "run", "--rm", image))
			}
			first := build("--no-cache")
			if same := build(); !slices.Equal(first, same) {
				t.Errorf("cached steps ran again: %q, then %q", first, same)
			}
			if got := build("--no-cache-filter", "two"); got[0] != first[0] || got[1] == first[1] {
				t.Errorf("--no-cache-filter two: %q, was %q", got, first)
			}
			if got := build("--no-cache"); got[0] == first[0] || got[1] == first[1] {
				t.Errorf("--no-cache: %q, was %q", got, first)
			}
		},
		"target": func(t *testing.T) {
			image := tagged(t, s, "target")
			s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox AS one\nRUN echo 1 > /1\nFROM one AS two\nRUN exit 3\n"}, "--target", "one").Want(t, 0)
			stack.Says(t, s.OK(t, "run", "--rm", image, "cat", "/1"), "1")
		},
		"label": func(t *testing.T) {
			image := tagged(t, s, "label")
			s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox\nLABEL a=file b=file\n"}, "--label", "a=flag", "--label", "c").Want(t, 0)
			if got := s.OK(t, "inspect", "-f", "{{json .Config.Labels}}", image); !strings.Contains(got, `"a":"flag","b":"file","c":""`) {
				t.Errorf("the labels are %s", got)
			}
		},
		"build-arg from the environment": func(t *testing.T) {
			r := s.Do(nil, "env", "FROM_HERE=seen", filepath.Join(s.Bin, "lus"), "build", "--progress", "plain", "--build-arg", "FROM_HERE", "--build-arg", "NOT_HERE",
				stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nARG FROM_HERE\nARG NOT_HERE=default\nRUN echo \"<$FROM_HERE $NOT_HERE>\"\n"}))
			r.Want(t, 0)
			stack.Says(t, r.Err, "<seen default>")
		},
		"network": func(t *testing.T) {
			// Of a program that begins: a thread of this one may be elsewhere.
			host := strings.TrimSpace(s.Do(nil, "readlink", "/proc/self/ns/net").Out)
			const look = "FROM busybox\nRUN readlink /proc/self/ns/net; ls /sys/class/net | xargs\n"
			stack.Says(t, stdout(t, s, look, "--network", "host"), host)
			for mode, want := range map[string]string{"none": " lo\n", "default": " eth0 lo\n"} {
				if got := stdout(t, s, look, "--network", mode); strings.Contains(got, host) || !strings.Contains(got, want) {
					t.Errorf("--network %s: no%q in\n%s", mode, want, got)
				}
			}
			stack.Says(t, s.Fail(t, 1, "build", "--network", "mine", t.TempDir()), "default, none or host")
		},
		"shm-size, ulimit and add-host": func(t *testing.T) {
			got := stdout(t, s, "FROM busybox\nRUN df -k /dev/shm; ulimit -n; ulimit -Hn; cat /etc/hosts\n",
				"--shm-size", "7m", "--ulimit", "nofile=91:92", "--add-host", "db=10.9.8.7", "--add-host", "six:fd00::1")
			stack.Says(t, got, " 7168 ", " 91\n", " 92\n", "10.9.8.7\tdb", "fd00::1\tsix")
			stack.Says(t, s.Fail(t, 1, "build", "--shm-size", "much", t.TempDir()), "64m")
			stack.Says(t, s.Fail(t, 1, "build", "--ulimit", "files", t.TempDir()), "nofile=1024:2048")
			stack.Says(t, s.Fail(t, 1, "build", "--add-host", "db", stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\n"})), "name:address")
		},
		"cgroup-parent": func(t *testing.T) {
			parent := named(t, s, "lus-test-parent")
			t.Cleanup(func() {
				for _, dir := range groups(t, parent) {
					_ = os.Remove(dir)
				}
			})
			stdout(t, s, "FROM busybox\nRUN true # "+parent+"\n", "--cgroup-parent", "/"+parent)
			if len(groups(t, parent)) == 0 {
				t.Error("no step had a control group below the one that was named")
			}
		},
		"allow": func(t *testing.T) {
			const host = "FROM busybox\nRUN --network=host readlink /proc/self/ns/net > /n\n"
			dir := stack.Folder(t, map[string]string{"Dockerfile": host})
			stack.Says(t, s.Fail(t, 1, "build", dir), "network.host is not allowed", "--allow network.host")
			s.OK(t, "build", "--allow", "network.host", dir)
			stack.Says(t, s.Fail(t, 1, "build", "--allow", "security.insecure", stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN --security=insecure true\n"})), "security.insecure is not allowed")
		},
		"platform": func(t *testing.T) {
			arm64 := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xb7\x00\x01\x00" + strings.Repeat("\x00", 200)
			image := tagged(t, s, "platform")
			s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"}, "--platform", "linux/amd64").Want(t, 0)
			s.Build(t, image, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"}, "--platform", "linux/arm64").Want(t, 0)
			if got := s.OK(t, "inspect", "-f", "{{.Architecture}}", image); got != "arm64" {
				t.Errorf("the image is for %s", got)
			}
			r := s.Build(t, image, map[string]string{"Dockerfile": "FROM scratch\nCOPY --chmod=755 sh /bin/sh\nRUN true\n", "sh": arm64}, "--platform", "linux/arm64")
			r.Want(t, 1)
			stack.Says(t, r.Err, "linux/arm64", "this machine runs linux/amd64")
		},
		"pull": func(t *testing.T) {
			ref := stack.Registry(t) + "/base:1"
			t.Cleanup(func() { s.Lus("rmi", "-f", ref) })
			stack.PushBusybox(t, ref, "first")
			dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM " + ref + "\n"})
			image := tagged(t, s, "pull")
			command := func(args ...string) string {
				s.Lus(append(append([]string{"build", "-t", image}, args...), dir)...).Want(t, 0)
				return s.OK(t, "inspect", "-f", "{{json .Config.Cmd}}", image)
			}
			s.OK(t, "pull", ref)
			stack.PushBusybox(t, ref, "second")
			if got := command(); got != `["first"]` {
				t.Errorf("without --pull the base is %s", got)
			}
			if got := command("--pull"); got != `["second"]` {
				t.Errorf("with --pull the base is %s", got)
			}
		},
		"iidfile, metadata-file and quiet": func(t *testing.T) {
			image, dir := tagged(t, s, "files"), t.TempDir()
			id, meta := filepath.Join(dir, "id"), filepath.Join(dir, "meta")
			r := s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox\n"}, "-q", "--iidfile", id, "--metadata-file", meta)
			want := s.OK(t, "inspect", "-f", "{{.Id}}", image)
			if got := r.Want(t, 0); got != want || r.Err != "" {
				t.Errorf("a quiet build printed %q and %q", got, r.Err)
			}
			if got, err := os.ReadFile(id); string(got) != want {
				t.Errorf("the file has %q (%v)", got, err)
			}
			var told map[string]any
			data, err := os.ReadFile(meta)
			if err == nil {
				err = json.Unmarshal(data, &told)
			}
			if err != nil || told["containerimage.config.digest"] != want || told["image.name"] != "docker.io/library/"+image+":latest" {
				t.Errorf("the metadata are %s (%v)", data, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); try(t) })
	}
}

// groups are the control groups of this name, in whatever hierarchies there are.
func groups(t *testing.T, name string) (out []string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/*/" + name} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	return out
}

// A context and a Dockerfile come from many places.
func TestContextsOfBuild(t *testing.T) {
	t.Parallel()
	s := shared(t)
	lus := filepath.Join(s.Bin, "lus")
	const dockerfile = "FROM scratch\nCOPY f /f\n"
	dir := stack.Folder(t, map[string]string{"Dockerfile": dockerfile, "f": "in the context", "other": "FROM scratch\nCOPY f /g\n"})
	// names are the files of a build's result, which a tar on standard output shows.
	names := func(t *testing.T, r stack.Result) []string {
		t.Helper()
		r.Want(t, 0)
		file := filepath.Join(t.TempDir(), "tar")
		if err := os.WriteFile(file, []byte(r.Out), 0o600); err != nil {
			t.Fatal(err)
		}
		return entries(t, file)
	}
	site := serveFolder(t, gitSite(t, map[string]string{"Dockerfile": dockerfile, "f": "in git", "sub/Dockerfile": "FROM scratch\nCOPY s /s\n", "sub/s": "s"}))
	packed := tarOf(t, map[string]string{"Dockerfile": dockerfile, "f": "in the tar", "other": "FROM scratch\nCOPY f /g\n"})
	files := serveBytes(t, map[string][]byte{"/context.tar.gz": packed, "/Dockerfile": []byte("FROM scratch\nWORKDIR /only\n"), "/other": []byte("FROM scratch\nCOPY f /far\n"), "/empty": nil})
	for name, c := range map[string]struct {
		in   []byte
		args []string
		want string
	}{
		"a folder, and a Dockerfile by -f":        {nil, []string{"-f", filepath.Join(dir, "other"), dir}, "g"},
		"a Dockerfile on standard input":          {[]byte("FROM scratch\nWORKDIR /made\n"), []string{"-"}, "made"},
		"a Dockerfile on standard input, -f -":    {[]byte("FROM scratch\nCOPY f /h\n"), []string{"-f", "-", dir}, "h"},
		"a tar on standard input":                 {packed, []string{"-"}, "f"},
		"a tar, and a Dockerfile in it":           {packed, []string{"-f", "other", "-"}, "g"},
		"a tar, with a secret and a context":      {packed, []string{"--secret", "id=x,src=" + filepath.Join(dir, "f"), "--build-context", "side=" + dir, "-"}, "f"},
		"a tar at a URL":                          {nil, []string{files + "/context.tar.gz"}, "f"},
		"a Dockerfile at a URL":                   {nil, []string{files + "/Dockerfile"}, "only"},
		"a Git repository":                        {nil, []string{site + "/repo.git"}, "f"},
		"a branch and a folder of a repository":   {nil, []string{site + "/repo.git#main:sub"}, "s"},
		"a folder, and a Dockerfile at a URL":     {nil, []string{"-f", files + "/other", dir}, "far"},
		"a tar, and a Dockerfile at a URL":        {packed, []string{"-f", files + "/other", "-"}, "far"},
		"a repository, and a Dockerfile at a URL": {nil, []string{"-f", files + "/other", site + "/repo.git"}, "far"},
		"a repository, and a Dockerfile of yours": {[]byte("FROM scratch\nCOPY f /mine\n"), []string{"-f", "-", site + "/repo.git"}, "mine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := names(t, s.Do(bytes.NewReader(c.in), lus, append([]string{"build", "-o", "-"}, c.args...)...))
			if !slices.ContainsFunc(got, func(n string) bool { return strings.TrimSuffix(n, "/") == c.want }) {
				t.Errorf("the result has %q, want %s", got, c.want)
			}
		})
	}
	stack.Says(t, s.Fail(t, 1, "build", "-f", "-", "-"), "cannot both be standard input")
	stack.Says(t, s.Do(strings.NewReader(""), lus, "build", "-").Err, "standard input is empty")
	stack.Says(t, s.Fail(t, 1, "build", site+"/none.git"), "none.git")
}

// serveFolder serves a folder by HTTP on loopback, and returns its URL.
func serveFolder(t *testing.T, dir string) string {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return server.URL
}

// serveBytes serves files by HTTP on loopback, and returns the URL of their root.
func serveBytes(t *testing.T, files map[string][]byte) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := files[r.URL.Path]; ok {
			_, _ = w.Write(data)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// gitSite is a folder with a repository repo.git that any HTTP server can serve.
func gitSite(t *testing.T, files map[string]string) string {
	t.Helper()
	git := need.Program(t, "git", "git")
	work, site := stack.Folder(t, files), t.TempDir()
	run := func(dir string, args ...string) {
		t.Helper()
		r := (&stack.Stack{}).DoIn(dir, nil, git, args...)
		r.Want(t, 0)
	}
	run(work, "init", "-q", "-b", "main")
	run(work, "-c", "user.name=t", "-c", "user.email=t@example.com", "add", ".")
	run(work, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "one")
	run(work, "clone", "-q", "--bare", work, filepath.Join(site, "repo.git"))
	run(filepath.Join(site, "repo.git"), "update-server-info")
	return site
}

// tarOf is a compressed tar of files.
func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAnOCILayoutAsAContext(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := t.TempDir()
	layout := filepath.Join(dir, "layout")
	s.Build(t, "in-layout:7", map[string]string{"Dockerfile": "FROM busybox\nRUN echo packed > /packed\n"}, "-o", "type=oci,tar=false,dest="+layout).Want(t, 0)
	if _, err := os.Stat(filepath.Join(layout, "oci-layout")); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{layout, layout + ":7"} {
		image := tagged(t, s, "of-layout")
		s.Build(t, image, map[string]string{"Dockerfile": "FROM base\nCOPY --from=base /packed /copied\n"}, "--build-context", "base=oci-layout://"+where).Want(t, 0)
		if got := s.OK(t, "run", "--rm", image, "cat", "/packed", "/copied"); got != "packed\npacked" {
			t.Errorf("%s: the image says %q", where, got)
		}
	}
	stack.Says(t, s.Build(t, "x", map[string]string{"Dockerfile": "FROM base\n"}, "--build-context", "base=oci-layout://"+layout+":8").Err, `has no image "8"`)
	stack.Says(t, s.Build(t, "x", map[string]string{"Dockerfile": "FROM base\n"}, "--build-context", "base=oci-layout://"+dir).Err, "no OCI layout")
}

// A Dockerfile at a URL that is none is refused with the reason.
func TestADockerfileAtAURLThatIsNone(t *testing.T) {
	t.Parallel()
	s := shared(t)
	files := serveBytes(t, map[string][]byte{"/empty": nil, "/large": bytes.Repeat([]byte("# much\n"), 100_000), "/broken": []byte("FRON busybox\n")})
	for path, want := range map[string]string{"/none": "answers 404 Not Found", "/empty": "is empty", "/large": "larger than 512 kB", "/broken": "did you mean FROM"} {
		stack.Says(t, s.Fail(t, 1, "build", "-f", files+path, t.TempDir()), want)
	}
	stack.Says(t, s.Fail(t, 1, "build", "-f", "http://127.0.0.1:1/x", t.TempDir()), "connection refused", "check the URL")
}

// Annotations are in the manifest, wherever the image goes.
func TestAnnotationsOfBuild(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo annotated >/f\n"})
	registry := stack.Registry(t)
	manifest := func(name, tag string) (m struct{ Annotations map[string]string }) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "http://"+registry+"/v2/"+name+"/manifests/"+tag, nil)
		if err != nil {
			t.Fatal(err)
		}
		status, body := stack.Do(r)
		if err := json.Unmarshal([]byte(body), &m); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		return m
	}
	ref, direct := registry+"/kept:1", registry+"/direct:1"
	t.Cleanup(func() { s.Lus("rmi", "-f", ref, direct) })
	flags := []string{"--annotation", "a=b=c", "--annotation", "manifest[linux/amd64]:here=yes", "--annotation", "manifest[linux/arm64]:here=no"}
	s.OK(t, append(append([]string{"build", "-t", ref}, flags...), dir)...)
	s.OK(t, "run", "--rm", ref, "cat", "/f")
	s.OK(t, "push", ref)
	s.OK(t, append(append([]string{"build", "-t", direct, "--push"}, flags...), dir)...)
	for _, name := range []string{"kept", "direct"} {
		if got := manifest(name, "1").Annotations; got["a"] != "b=c" || got["here"] != "yes" {
			t.Errorf("%s is annotated %v", name, got)
		}
	}
	// Without them it is another manifest of the same image.
	id := s.OK(t, "image", "inspect", "-f", "{{.Id}}", ref)
	s.OK(t, "build", "-t", ref, dir)
	s.OK(t, "push", ref)
	if got := manifest("kept", "1").Annotations; got["a"] != "" || s.OK(t, "image", "inspect", "-f", "{{.Id}}", ref) != id {
		t.Errorf("a build without annotations: %v", got)
	}
	layout := filepath.Join(t.TempDir(), "layout")
	s.OK(t, "build", "--annotation", "manifest-descriptor,manifest:a=b", "-o", "type=oci,tar=false,dest="+layout, dir)
	index, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil || !strings.Contains(string(index), `"a":"b"`) {
		t.Errorf("the layout's index is %s: %v", index, err)
	}
	for flag, want := range map[string]string{"index:a=b": "has a manifest and no index", "thing:a=b": "none of manifest, index", "a": "KEY=VALUE", "index[linux/amd64]:a=b": "all platforms", "manifest[x:a=b": "manifest[linux/amd64]"} {
		stack.Says(t, s.Fail(t, 1, "build", "--annotation", flag, dir), want)
	}
	stack.Says(t, s.Fail(t, 1, "build", "--annotation", "a=b", "-o", layout, dir), "no output is one")
}

func TestOutputsOfBuild(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /in/d\n"})
	to := func(name string) string { return filepath.Join(dir, name) }
	for kind, want := range map[string]string{"tar": "in/d", "oci": "oci-layout", "docker": "manifest.json"} {
		s.OK(t, "build", "-t", "packed", "-o", "type="+kind+",dest="+to(kind), dir)
		if names := entries(t, to(kind)); !slices.Contains(names, want) {
			t.Errorf("%s: %q lacks %s", kind, names, want)
		}
		r := s.Lus("build", "-t", "packed", "-o", "type="+kind+",dest=-", dir)
		r.Want(t, 0)
		if err := os.WriteFile(to("piped"), []byte(r.Out), 0o600); err != nil {
			t.Fatal(err)
		}
		if names := entries(t, to("piped")); !slices.Contains(names, want) {
			t.Errorf("%s on standard output: %q lacks %s", kind, names, want)
		}
	}
	image := tagged(t, s, "loaded")
	s.OK(t, "build", "--load", "-t", image, dir)
	s.OK(t, "image", "inspect", image)
	ref := stack.Registry(t) + "/pushed:1"
	t.Cleanup(func() { s.Lus("rmi", "-f", ref) })
	s.OK(t, "build", "--push", "-t", ref, dir)
	s.OK(t, "rmi", ref)
	s.OK(t, "pull", ref)
	s.OK(t, "build", "--provenance", "mode=max", "-o", "type=oci,tar=false,dest="+to("attested"), dir)
	index, err := os.ReadFile(to("attested/index.json"))
	if err != nil || !strings.Contains(string(index), "index.v1+json") {
		t.Errorf("a build with provenance is no index of image and attestation: %s (%v)", index, err)
	}
	term := s.Terminal(t, "build", "-o", "-", dir)
	term.Sees("not written to a terminal")
	stack.Says(t, s.Fail(t, 1, "build", "-o", "type=local,dest=-", dir), "folder")
}

func TestCachesOfBuild(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // its cache is pruned below
	const stages = "FROM busybox AS made\nRUN cat /proc/sys/kernel/random/uuid > /a\nFROM busybox\nCOPY --from=made /a /a\nCMD [\"cat\", \"/a\"]\n"
	dir := stack.Folder(t, map[string]string{"Dockerfile": stages})
	registry := stack.Registry(t)
	prune := func() {
		s.OK(t, "rmi", "-f", "one")
		s.OK(t, "builder", "prune", "-a", "-f")
	}
	for name, c := range map[string]struct {
		to, tag, from string
		again         bool // the first stage is not in the cache
	}{
		"inline":          {"type=inline", registry + "/inline:1", registry + "/inline:1", false},
		"local, max":      {"type=local,mode=max,dest=" + filepath.Join(dir, "max"), "one", "type=local,src=" + filepath.Join(dir, "max"), false},
		"registry, max":   {"type=registry,mode=max,ref=" + registry + "/max", "one", registry + "/max", false},
		"none to be read": {"type=local,dest=" + filepath.Join(dir, "unread"), "one", "type=local,src=" + filepath.Join(dir, "nothing"), true},
	} {
		args := []string{"build", "--no-cache", "--cache-to", c.to, "-t", c.tag}
		if c.tag != "one" {
			args = append(args, "--push")
		}
		s.OK(t, append(args, dir)...)
		one := s.OK(t, "run", "--rm", c.tag)
		s.OK(t, "rmi", c.tag)
		prune()
		s.OK(t, "build", "--cache-from", c.from, "-t", "one", dir)
		if got := s.OK(t, "run", "--rm", "one"); (got != one) != c.again {
			t.Errorf("%s: the step gave %s, before %s", name, got, one)
		}
		prune()
	}
	stack.Says(t, s.Fail(t, 1, "build", "--cache-to", "type=nowhere", dir), "registry, local or inline")
}

func TestProgressOfBuild(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dockerfile := "FROM busybox\nRUN echo of" + named(t, s, "-progress") + "\nCMD [\"a\"]\nCMD [\"b\"]\n"
	dir := stack.Folder(t, map[string]string{"Dockerfile": dockerfile})
	build := func(mode string) stack.Result {
		r := s.Lus("build", "--no-cache", "--progress", mode, dir)
		r.Want(t, 0)
		return r
	}
	stack.Says(t, build("plain").Err, "#1 [internal] load build definition", "DONE", "of-progress", "1 warning found:\n - MultipleInstructionsDisallowed: Multiple CMD instructions", "(line 3)")
	if r := build("quiet"); r.Err != "" || !strings.HasPrefix(r.Out, "sha256:") {
		t.Errorf("quiet: %q and %q", r.Out, r.Err)
	}
	steps := map[string]bool{}
	for line := range strings.Lines(build("rawjson").Err) {
		var st struct{ Vertexes []struct{ Name string } }
		if err := json.Unmarshal([]byte(line), &st); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		for _, v := range st.Vertexes {
			steps[v.Name] = true
		}
	}
	if !steps["[internal] load build definition from Dockerfile"] {
		t.Errorf("rawjson tells of %v", steps)
	}
	stack.Says(t, s.Fail(t, 1, "build", "--progress", "tty", dir), "needs a terminal")
	stack.Says(t, s.Fail(t, 1, "build", "--progress", "loud", dir), "auto, tty, plain")

	// The step goes on once what it said is on the screen.
	var seen atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if turn, _ := strconv.Atoi(r.URL.Path[1:]); int(seen.Load()) < turn {
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	wait := func(turn int) string {
		return fmt.Sprintf("until wget -qO- %s/%d 2>/dev/null; do sleep 0.05; done", server.URL, turn)
	}
	term := s.Terminal(t, "build", "--no-cache", "--network", "host", stack.Folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN echo first; " + wait(1) + "; echo sec''ond; " + wait(2) + "; exit 4\n"}))
	term.Sees("=> => # first")
	seen.Store(1)
	term.Sees("=> => # second")
	seen.Store(2)
	term.Sees("=> ERROR [2/2] RUN echo first")
	term.Sees("failed with exit code 4")
}

func TestChecksOfBuild(t *testing.T) {
	t.Parallel()
	s := shared(t)
	bad := stack.Folder(t, map[string]string{"Dockerfile": "from busybox AS Base\nCMD a\nCMD [\"b\"]\nENV KEY value\n"})
	r := s.Lus("build", "--check", bad)
	if r.Code != 1 {
		t.Errorf("a check with warnings ends with %d", r.Code)
	}
	stack.Says(t, r.Out, "warnings have been found", "MultipleInstructionsDisallowed", "StageNameCasing", "JSONArgsRecommended", "LegacyKeyValueFormat", "Dockerfile:4", ">>> ENV KEY value")
	good := stack.Folder(t, map[string]string{"Dockerfile": "# what it is\nARG V=1\nFROM busybox AS base\nARG V\nFROM base AS last\n"})
	stack.Says(t, s.OK(t, "build", "--check", good), "Check complete, no warnings found.")
	broken := s.Lus("build", "--check", stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY --frm=x a b\n"}))
	if broken.Code != 1 || !strings.Contains(broken.All(), "Dockerfile:2") {
		t.Errorf("a check of what cannot be built: %d\n%s", broken.Code, broken.All())
	}
	stack.Says(t, s.OK(t, "build", "--call", "targets", good), "last (default)", "base")
	stack.Says(t, s.OK(t, "build", "--call", "outline", good), "BUILD ARG", "V")
	if text := s.Lus("build", "--call", "check,format=json", bad).Out; !json.Valid([]byte(text)) {
		t.Errorf("the check as JSON is %s", text)
	}
	stack.Says(t, s.Fail(t, 1, "build", "--call", "nothing", good), "check, outline or targets")
	stack.Says(t, s.Fail(t, 1, "build", stack.Folder(t, map[string]string{"Dockerfile": "# check=error=true\nFROM busybox\nCMD a\n"})), "lint")
}

// Dockerfiles that name the frontend which is in the daemon build offline.
func TestTheBuiltInSyntax(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for syntax, here := range map[string]bool{
		"docker/dockerfile:1": true, "docker/dockerfile:1.7": true, "docker/dockerfile": true, "docker.io/docker/dockerfile:1.4.1": true,
		"docker/dockerfile:1-labs": false, "docker/dockerfile:1.999": false, "docker/dockerfile:2": false, "example.invalid/dockerfile:1": false,
	} {
		r := s.Build(t, tagged(t, s, "syntax"), map[string]string{"Dockerfile": "# syntax=" + syntax + "\nFROM busybox\nRUN <<E\necho seen\nE\n"})
		if (r.Code == 0) != here {
			t.Errorf("%s: exit code %d\n%s", syntax, r.Code, r.Err)
		}
		if !here {
			stack.Says(t, r.Err, "Dockerfile:1", strings.TrimPrefix(syntax, "docker.io/"))
		}
	}
}

func TestIgnoredFilesAreNotInTheContext(t *testing.T) {
	t.Parallel()
	s := shared(t)
	files := map[string]string{
		"Dockerfile": "FROM scratch\nCOPY . /\n", "special.Dockerfile": "FROM scratch\nCOPY . /\n",
		".dockerignore": "# a comment\n*.log\n!keep.log\nnode_modules\n**/tmp/*\n", "special.Dockerfile.dockerignore": "*\n!only\n",
		"a.log": "", "keep.log": "", "node_modules/deep/x": "", "src/tmp/x": "", "src/y": "", "only": "",
	}
	dir := stack.Folder(t, files)
	for name, want := range map[string]string{
		"Dockerfile":         ".dockerignore Dockerfile keep.log only special.Dockerfile special.Dockerfile.dockerignore src/y",
		"special.Dockerfile": "only",
	} {
		out := filepath.Join(t.TempDir(), "tar")
		s.OK(t, "build", "-f", filepath.Join(dir, name), "-o", "type=tar,dest="+out, dir)
		var got []string
		for _, n := range entries(t, out) {
			if _, file := files[n]; file {
				got = append(got, n)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: the context has %q, want %s", name, got, want)
		}
	}
}
