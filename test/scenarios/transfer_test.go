package scenarios

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

func TestSavedImagesLoadAgainFromEitherClient(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // the images of others would stay in the way
	dir := t.TempDir()
	for client, program := range clients(t, s) {
		a, b := "a-"+client+":1", "b-"+client+":2"
		s.Do(strings.NewReader("FROM "+stack.Busybox+"\nRUN echo built >/f\nCMD [\"cat\", \"/f\"]\n"), filepath.Join(s.Bin, "lus"), "build", "-q", "-t", a, "-").Want(t, 0)
		s.OK(t, "tag", stack.Busybox, b)
		id := s.OK(t, "image", "inspect", "-f", "{{.Id}}", a)
		file := filepath.Join(dir, client+".tar")
		s.Do(nil, program, "save", "-o", file, a, b).Want(t, 0)
		s.OK(t, "rmi", a, b)
		out := s.Do(nil, program, "load", "-i", file).Want(t, 0)
		stack.Says(t, out, "Loaded image: "+a, "Loaded image: "+b)
		if got := s.OK(t, "image", "inspect", "-f", "{{.Id}}", a); got != id {
			t.Errorf("%s: the image became %s, saved was %s", client, got, id)
		}
		if got := s.OK(t, "run", "--rm", a); got != "built" {
			t.Errorf("%s: the image says %q", client, got)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := strings.Join(tarNames(t, string(data)), " ")
		stack.Says(t, names, "manifest.json", "index.json", "oci-layout", "blobs/sha256/")
		s.OK(t, "rmi", a, b)
		stack.Says(t, s.Do(bytes.NewReader(data), program, "load", "-q").Want(t, 0), "Loaded image: "+a)
		stack.Says(t, s.Do(nil, program, "save", "no-such-image").All(), "No such image: no-such-image")
		r := s.Do(strings.NewReader(strings.Repeat("no tar", 500)), program, "load")
		r.Want(t, 1)
	}
}

func TestSkopeoReadsWhatWeSaveAndPush(t *testing.T) {
	t.Parallel()
	s := shared(t)
	skopeo := need.Program(t, "skopeo", "skopeo")
	dir, registry := t.TempDir(), stack.Registry(t)
	ref := registry + "/team/app:1"
	t.Cleanup(func() { s.Lus("rmi", "-f", ref, registry+"/team/app:2", registry+"/other/app:1") })
	s.Do(strings.NewReader("FROM "+stack.Busybox+"\nRUN echo built >/f\n"), filepath.Join(s.Bin, "lus"), "build", "-q", "-t", ref, "-").Want(t, 0)
	file := filepath.Join(dir, "app.tar")
	s.OK(t, "save", "-o", file, ref)
	inspect := func(where string) string {
		t.Helper()
		return s.Do(nil, skopeo, "inspect", "--tls-verify=false", "--config", where).Want(t, 0)
	}
	stack.Says(t, inspect("docker-archive:"+file), `"architecture"`, "echo built")
	stack.Says(t, inspect("oci-archive:"+file), "echo built")

	out := s.OK(t, "push", ref)
	stack.Says(t, out, "The push refers to repository ["+registry+"/team/app]", "Pushed", "1: digest: sha256:")
	stack.Says(t, inspect("docker://"+ref), "echo built")
	stack.Says(t, s.Do(nil, dockerClient(t), "push", ref).Want(t, 0), "Layer already exists", "1: digest: sha256:")
	_, digest, _ := strings.Cut(out, "digest: ")
	digest, _, _ = strings.Cut(digest, " ")
	if got := s.OK(t, "image", "inspect", "-f", "{{index .RepoDigests 0}}", ref); got != registry+"/team/app@"+digest {
		t.Errorf("the image is known as %s, pushed as %s", got, digest)
	}
	// This registry keeps blobs for all its repositories.
	s.OK(t, "tag", ref, registry+"/other/app:1")
	stack.Says(t, s.OK(t, "push", registry+"/other/app:1"), "Layer already exists", "1: digest: sha256:")
	s.OK(t, "tag", ref, registry+"/team/app:2")
	all := s.OK(t, "push", "-a", registry+"/team/app")
	stack.Says(t, all, "1: digest: "+digest, "2: digest: "+digest)
	if got := s.OK(t, "push", "-q", ref); got != ref {
		t.Errorf("a quiet push says %q", got)
	}
	id := s.OK(t, "image", "inspect", "-f", "{{.Id}}", ref)
	s.OK(t, "rmi", "-f", ref, registry+"/team/app:2", registry+"/other/app:1")
	s.OK(t, "pull", ref)
	if got := s.OK(t, "image", "inspect", "-f", "{{.Id}}", ref); got != id {
		t.Errorf("what was pulled is %s, pushed was %s", got, id)
	}
	if got := s.OK(t, "run", "--rm", ref, "cat", "/f"); got != "built" {
		t.Errorf("what was pulled says %q", got)
	}
	stack.Says(t, s.Fail(t, 1, "push", registry+"/nobody/has:1"), "An image does not exist locally with the tag: "+registry+"/nobody/has")

	// And what skopeo writes we load.
	back := filepath.Join(dir, "back.tar")
	s.Do(nil, skopeo, "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://"+ref, "docker-archive:"+back+":back-by-skopeo:1").Want(t, 0)
	t.Cleanup(func() { s.Lus("rmi", "-f", "back-by-skopeo:1") })
	stack.Says(t, s.OK(t, "load", "-i", back), "Loaded image: back-by-skopeo:1")
	if got := s.OK(t, "run", "--rm", "back-by-skopeo:1", "cat", "/f"); got != "built" {
		t.Errorf("what skopeo wrote says %q", got)
	}
}

// What is committed on an image of Docker's format is an OCI image throughout.
func TestACommitOnAPulledImageIsPushedWhole(t *testing.T) {
	t.Parallel()
	s := shared(t)
	skopeo := need.Program(t, "skopeo", "skopeo")
	registry := stack.Registry(t)
	base, ref, name := registry+"/base:1", registry+"/made:1", named(t, s, "made")
	t.Cleanup(func() { s.Lus("rmi", "-f", base, ref) })
	stack.PushBusybox(t, base, "sh")
	s.OK(t, "pull", base)
	s.OK(t, "run", "--name", name, base, "sh", "-c", "echo mine >/f")
	s.OK(t, "commit", name, ref)
	s.OK(t, "push", ref)
	raw := s.Do(nil, skopeo, "inspect", "--tls-verify=false", "--raw", "docker://"+ref).Want(t, 0)
	if strings.Contains(raw, "vnd.docker") || strings.Count(raw, "application/vnd.oci.image.layer.v1.tar+gzip") != 2 {
		t.Errorf("the manifest is %s", raw)
	}
	s.OK(t, "rm", name)
	s.OK(t, "rmi", ref)
	s.OK(t, "pull", ref)
	if got := s.OK(t, "run", "--rm", ref, "cat", "/f"); got != "mine" {
		t.Errorf("what came back says %q", got)
	}
}

func TestPruneRemovesWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	build := func(text, name string) string {
		t.Helper()
		return s.Do(strings.NewReader("FROM "+stack.Busybox+"\nRUN "+text+"\n"), filepath.Join(s.Bin, "lus"), "build", "-q", "-t", name, "-").Want(t, 0)
	}
	old := build("echo one >/f", "app:1")
	build("echo two >/f", "app:1") // the first has no name now
	build("echo kept >/f", "kept:1")
	build("echo used >/f", "used:1")
	s.OK(t, "create", "--name", "user", "used:1", "true")
	stack.Says(t, s.OK(t, "images", "-q", "--no-trunc", "--filter", "dangling=true"), old)
	stack.Says(t, s.OK(t, "image", "prune", "-f", "--filter", "until=24h"), "Total reclaimed space: 0B")
	stack.Says(t, s.OK(t, "image", "prune", "-f"), "Deleted Images:", "deleted: "+old, "Total reclaimed space:")
	stack.Says(t, s.OK(t, "images"), "app", "kept", "used")
	stack.Says(t, s.Do(nil, dockerClient(t), "image", "prune", "-a", "-f").Want(t, 0), "untagged: app:1", "untagged: kept:1")
	got := s.OK(t, "images", "--format", "{{.Repository}}")
	if !strings.Contains(got, "used") || strings.Contains(got, "kept") || strings.Contains(got, "app") {
		t.Errorf("left are %q", got)
	}
	s.OK(t, "start", "-a", "user")
}

// Archives that mean harm bring nothing and write nowhere.
func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := t.TempDir()
	up := strings.Repeat("../", 20) + dir[1:]
	for what, entries := range map[string]map[string]string{
		"a layer outside":  {"manifest.json": `[{"Config":"c.json","RepoTags":["evil:1"],"Layers":["` + up + `/layer.tar"]}]`, "c.json": `{"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}`},
		"a name outside":   {up + "/evil": "evil", "manifest.json": "[]"},
		"a blob that lies": {"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7}]}`, "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": "not it"},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for name, text := range entries {
			if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if r := s.Do(&b, filepath.Join(s.Bin, "lus"), "load"); r.Code == 0 && strings.Contains(r.Out, "Loaded") {
			t.Errorf("%s: %s", what, r.All())
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("the host's folder holds %v: %v", list, err)
	}
}
