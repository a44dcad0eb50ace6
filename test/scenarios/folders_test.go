package scenarios

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// drawn is what scanners read of inspect: where the files lie.
type drawn struct {
	GraphDriver struct {
		Name string
		Data map[string]string
	}
	HostConfig struct{ MaskedPaths, ReadonlyPaths []string }
}

func inspected(t *testing.T, s *stack.Stack, name string) (d drawn) {
	t.Helper()
	var all []drawn
	if err := json.Unmarshal([]byte(s.OK(t, "inspect", name)), &all); err != nil || len(all) != 1 {
		t.Fatalf("inspect %s: %v", name, err)
	}
	return all[0]
}

func TestInspectTellsWhereTheFilesLie(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, image := named(t, s, "folders"), tagged(t, s, "layers")
	s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox\nRUN echo layer > /layer\n"})
	s.OK(t, "run", "-d", "--name", name, image, "sh", "-c", "echo mine > /mine; sleep 600")
	s.OK(t, "exec", name, "sh", "-c", "until [ -s /mine ]; do sleep 0.1; done")
	holds := func(dir, file, want string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s/%s holds %q (%v), want %q", dir, file, got, err, want)
		}
	}
	d := inspected(t, s, name)
	data := d.GraphDriver.Data
	lower := strings.Split(data["LowerDir"], ":")
	if d.GraphDriver.Name != "overlay2" || len(lower) != 2 {
		t.Fatalf("the container's files are said to lie in %v", d.GraphDriver)
	}
	holds(data["UpperDir"], "mine", "mine")
	holds(lower[0], "layer", "layer")
	holds(data["MergedDir"], "mine", "mine")
	holds(data["MergedDir"], "layer", "layer")
	if st, err := os.Stat(data["WorkDir"]); err != nil || !st.IsDir() {
		t.Errorf("the work folder: %v", err)
	}
	img := inspected(t, s, image).GraphDriver.Data
	holds(img["UpperDir"], "layer", "layer")
	if img["LowerDir"] != lower[1] {
		t.Errorf("the image's lower folder is %q, want %q", img["LowerDir"], lower[1])
	}
	s.OK(t, "stop", "-t", "0", name)
	if merged, ok := inspected(t, s, name).GraphDriver.Data["MergedDir"]; ok {
		t.Errorf("the files of a container that stands still are merged in %s", merged)
	}
}

func TestInspectTellsWhatIsHidden(t *testing.T) {
	t.Parallel()
	s := shared(t)
	usual, open, free := named(t, s, "usual"), named(t, s, "open"), named(t, s, "free")
	s.OK(t, "create", "--name", usual, stack.Busybox)
	s.OK(t, "create", "--name", open, "--privileged", stack.Busybox)
	s.OK(t, "create", "--name", free, "--security-opt", "systempaths=unconfined", stack.Busybox)
	h := inspected(t, s, usual).HostConfig
	stack.Says(t, strings.Join(h.MaskedPaths, " "), "/proc/kcore", "/proc/keys", "/sys/firmware")
	stack.Says(t, strings.Join(h.ReadonlyPaths, " "), "/proc/sys", "/proc/sysrq-trigger")
	for _, name := range []string{open, free} {
		if h := inspected(t, s, name).HostConfig; len(h.MaskedPaths)+len(h.ReadonlyPaths) > 0 {
			t.Errorf("of %s is said to be hidden: %v", name, h)
		}
	}
}

func TestTheImageListCountsContainers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image := tagged(t, s, "counted")
	s.Build(t, image, map[string]string{"Dockerfile": "FROM busybox\nRUN echo counted > /counted\n"})
	for _, word := range []string{"one", "two"} {
		s.OK(t, "create", "--name", named(t, s, word), image)
	}
	for query, shared := range map[string]func(int64) bool{
		"":               func(n int64) bool { return n == -1 },
		"&shared-size=1": func(n int64) bool { return n > 0 }, // busybox's
	} {
		_, text := endpoint(t, s, "GET", "/v1.51/images/json?filters="+escape(`{"reference":["`+image+`"]}`)+query, "")
		var rows []struct{ Containers, SharedSize, Size int64 }
		if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) != 1 || rows[0].Containers != 2 || !shared(rows[0].SharedSize) || rows[0].Size <= rows[0].SharedSize {
			t.Errorf("%q: %s", query, text)
		}
	}
}
