package scenarios

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lus/test/stack"
)

func TestS64ABuiltImageIsWhatItsDockerfileSays(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, dir := imageName(t, s, "built"), t.TempDir()
	put(t, filepath.Join(dir, "f"), "copied")
	put(t, filepath.Join(dir, "Dockerfile"), `FROM `+stack.Busybox+`
LABEL of=s64
ENV A=b
WORKDIR /w
COPY f /w/f
RUN echo made >/w/g
EXPOSE 8080/tcp
VOLUME /data
USER 12:34
ENTRYPOINT ["cat"]
CMD ["/w/f"]
`)
	s.OK(t, "build", "-q", "-t", name, dir)
	type answer struct {
		ID       string `json:"Id"`
		RepoTags []string
		Size     int64
		RootFS   struct{ Layers []string }
		Config   map[string]any
	}
	inspect := func(program string) answer {
		t.Helper()
		var list []answer
		if err := json.Unmarshal([]byte(s.Do(nil, program, "image", "inspect", name).Want(t, 0)), &list); err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	base := s.OK(t, "image", "inspect", "-f", "{{json .RootFS.Layers}}", stack.Busybox)
	var below []string
	if err := json.Unmarshal([]byte(base), &below); err != nil {
		t.Fatal(err)
	}
	var before answer
	for client, program := range clients(t, s) {
		before = inspect(program)
		text, err := json.Marshal(before.Config)
		if err != nil {
			t.Fatal(err)
		}
		stack.Says(t, string(text), `"8080/tcp"`, `"A=b"`, `"Entrypoint":["cat"]`, `"Cmd":["/w/f"]`, `"WorkingDir":"/w"`, `"User":"12:34"`, `"/data"`, `"of":"s64"`)
		for _, word := range []string{"Hostname", "Image", "Tty", "AttachStdin"} {
			if _, there := before.Config[word]; there {
				t.Errorf("%s: an image has a %s", client, word)
			}
		}
		if !slices.Equal(before.RepoTags, []string{name + ":latest"}) || !slices.Equal(before.RootFS.Layers[:len(below)], below) {
			t.Errorf("%s: %+v, below it are %v", client, before, below)
		}
		history := s.Do(nil, program, "history", "--no-trunc", name).Want(t, 0)
		stack.Says(t, history, `CMD ["/w/f"]`, `ENTRYPOINT ["cat"]`, "USER 12:34", "VOLUME", "EXPOSE", "echo made >/w/g", "COPY f /w/f", "WORKDIR /w", "ENV A=b", "LABEL of=s64")
		if strings.Index(history, "CMD") > strings.Index(history, "LABEL of=s64") {
			t.Errorf("%s: the history is not newest first:\n%s", client, history)
		}
		stack.Says(t, s.Do(nil, program, "images", name).Want(t, 0), name, "latest", before.ID[7:19])
	}
	if got := s.OK(t, "run", "--rm", "-u", "0", "--entrypoint", "sh", name, "-c", "cat f g; rm -r /w; echo changed >/etc/passwd"); got != "copiedmade" {
		t.Errorf("it runs and says %q", got)
	}
	if after := inspect(filepath.Join(s.Bin, "lus")); after.ID != before.ID || after.Size != before.Size || !slices.Equal(after.RootFS.Layers, before.RootFS.Layers) {
		t.Errorf("a run changed the image: %+v", after)
	}
	if got := s.OK(t, "run", "--rm", name); got != "copied" {
		t.Errorf("after that it says %q", got)
	}
}
