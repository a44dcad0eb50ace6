package scenarios

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lus/test/stack"
)

// du is what a folder takes on the disk, in bytes. It fails where a file goes
// while it looks, and looks again.
func du(t *testing.T, dir string) int64 {
	t.Helper()
	var out []byte
	stack.Eventually(t, "du "+dir, func() (ok bool) {
		var err error
		out, err = exec.Command("du", "-s", "--block-size=1", dir).Output()
		return err == nil
	})
	n, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// near fails the test where two sizes differ by more than folders and the ends
// of blocks explain.
func near(t *testing.T, what string, told, real int64) {
	t.Helper()
	if diff := told - real; diff > 300<<10 || diff < -300<<10 {
		t.Errorf("%s: %d bytes are told, the disk has %d", what, told, real)
	}
}

// usage is what GET /system/df tells, as far as the test reads it.
type usage struct {
	LayersSize int64
	Images     []struct{ Size, SharedSize, Containers int64 }
	Containers []struct{ SizeRw int64 }
	Volumes    []struct {
		UsageData struct{ Size, RefCount int64 }
	}
	BuildCache []struct {
		Shared, InUse bool
		Size          int64
	}
}

func (u *usage) cache() (total int64) {
	for _, r := range u.BuildCache {
		if !r.Shared {
			total += r.Size
		}
	}
	return total
}

func df(t *testing.T, s *stack.Stack) *usage {
	t.Helper()
	resp := api(t, s, "/v1.51/system/df")
	defer resp.Body.Close()
	var u usage
	if err := json.NewDecoder(resp.Body).Decode(&u); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.Status, err)
	}
	return &u
}

func TestSystemDFAndPruneSayWhatDUSays(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	client := dockerClient(t)
	layers, volumes := filepath.Join(s.Images(), "overlayfs"), s.Volumes()
	blobs := filepath.Join(s.Images(), "content/blobs")
	images := func() int64 { return du(t, layers) + du(t, blobs) }

	s.Build(t, "kept", map[string]string{"Dockerfile": "FROM busybox\nRUN head -c 3000000 /dev/urandom >/three\n"}).Want(t, 0)
	s.Build(t, "gone", map[string]string{"Dockerfile": "FROM busybox\nRUN head -c 5000000 /dev/urandom >/five\n"}).Want(t, 0)
	s.OK(t, "run", "--name", "writer", "-v", "named:/v", "-v", "/anonymous", "kept", "sh", "-c",
		"head -c 4000000 /dev/urandom >/four; head -c 2000000 /dev/urandom >/v/two; head -c 1000000 /dev/urandom >/anonymous/one; sync")
	id := s.OK(t, "inspect", "-f", "{{.Id}}", "writer")

	t.Run("an image, a container, volumes and build cache", func(t *testing.T) {
		u := df(t, s)
		near(t, "images and build cache", u.LayersSize+u.cache(), images())
		if len(u.Images) != 3 || len(u.Containers) != 1 || len(u.Volumes) != 2 {
			t.Fatalf("df lists %+v", u)
		}
		near(t, "the container", u.Containers[0].SizeRw, du(t, s.Container(id)))
		near(t, "the volumes", u.Volumes[0].UsageData.Size+u.Volumes[1].UsageData.Size, du(t, volumes))
		near(t, "one image's own", u.Images[0].Size-u.Images[0].SharedSize, map[bool]int64{true: 5000000, false: 3000000}[u.Images[0].Size > 6000000])
	})
	t.Run("both clients print the same", func(t *testing.T) {
		ago := regexp.MustCompile(`(About a|Less than a)?[0-9]* ?[a-z]+ ago +`)
		for _, args := range [][]string{{"system", "df"}, {"system", "df", "-v"}, {"system", "df", "--format", "json"}, {"system", "df", "--format", "table {{.Type}}\t{{.Reclaimable}}"}} {
			ours := squeezed(ago.ReplaceAllString(s.OK(t, args...), ""))
			theirs := squeezed(ago.ReplaceAllString(s.Do(nil, client, args...).Want(t, 0), ""))
			if args[len(args)-1] == "-v" { // the build cache's order is nobody's
				ours, theirs = before(ours, "Build cache"), before(theirs, "Build cache")
			}
			if ours != theirs {
				t.Errorf("%s\nlus:\n%s\ndocker:\n%s", args, ours, theirs)
			}
		}
		stack.Says(t, s.OK(t, "system", "df", "-v"), "Build cache usage: ", "CACHE ID", "regular")
		stack.Says(t, s.Do(nil, client, "system", "df", "-v").Want(t, 0), "Build cache usage: ", "regular")
	})

	s.OK(t, "rmi", "gone")
	t.Run("what an image leaves to the build cache", func(t *testing.T) {
		u := df(t, s)
		near(t, "images and build cache", u.LayersSize+u.cache(), images())
		if u.cache() < 5000000 {
			t.Errorf("the build cache has %d bytes", u.cache())
		}
		before := images()
		text := s.OK(t, "builder", "prune", "-f", "-a")
		stack.Says(t, text, "Deleted build cache objects:\n", "Total reclaimed space: ")
		near(t, "pruned of the build cache", reclaimed(t, text), before-images())
		s.OK(t, "run", "--rm", "kept", "test", "-s", "/three")
	})
	t.Run("containers", func(t *testing.T) {
		before := du(t, s.Layout.Root)
		text := s.OK(t, "container", "prune", "-f")
		stack.Says(t, text, "Deleted Containers:\n"+id+"\n\nTotal reclaimed space: 4")
		stack.Eventually(t, "the container's folder to go", func() bool { return du(t, s.Layout.Root) < before-3<<20 })
		if again := s.Do(nil, client, "container", "prune", "-f").Want(t, 0); again != "Total reclaimed space: 0B" {
			t.Errorf("nothing left, and docker prints %q", again)
		}
	})
	t.Run("volumes", func(t *testing.T) {
		text := s.OK(t, "volume", "prune", "-f")
		if !strings.HasPrefix(text, "Deleted Volumes:\n") || !strings.HasSuffix(text, "\n\nTotal reclaimed space: 1MB") || strings.Contains(text, "named") {
			t.Errorf("volume prune printed %q", text)
		}
		if text := s.Do(nil, client, "volume", "prune", "-a", "-f").Want(t, 0); text != "Deleted Volumes:\nnamed\n\nTotal reclaimed space: 2MB" {
			t.Errorf("volume prune -a printed %q", text)
		}
	})
	t.Run("images", func(t *testing.T) {
		if text := s.OK(t, "image", "prune", "-f"); text != "Total reclaimed space: 0B" {
			t.Errorf("no image is dangling, and it printed %q", text)
		}
		s.OK(t, "create", "--name", "uses", "busybox", "true")
		before := images()
		text := s.OK(t, "image", "prune", "-a", "-f")
		stack.Says(t, text, "Deleted Images:\nuntagged: kept:latest\ndeleted: sha256:")
		near(t, "pruned images", reclaimed(t, text), before-images())
		if left := s.OK(t, "images", "--format", "{{.Repository}}"); left != "busybox" {
			t.Errorf("after pruning there are %q: an image with a container stays, others go", left)
		}
	})
}

// What the registry keeps and no image does has a line of its own, and for Docker's
// client, which knows none, is among the images.
func TestSystemDFTellsTheRegistryApart(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	far, host := stack.Registry(t), enabled(t, s)
	s.OK(t, "registry", "upstream", "far", "http://"+far)
	blob := stack.PushFile(t, far+"/app:1", "data", []byte(noise(t, 3_000_000)))
	row := func(kind string) string {
		t.Helper()
		for line := range strings.Lines(s.OK(t, "system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}} {{.Reclaimable}}")) {
			if rest, ok := strings.CutPrefix(line, kind+" "); ok {
				return strings.TrimSpace(rest)
			}
		}
		return ""
	}
	told := func(images, registry string) {
		t.Helper()
		if got := row("Images"); got != images {
			t.Errorf("the images: %q, want %q", got, images)
		}
		if got := row("Registry"); !strings.HasPrefix(got, registry) || registry == "" && got != "" {
			t.Errorf("the registry: %q, want %q", got, registry)
		}
		near(t, "all of it", df(t, s).LayersSize, du(t, filepath.Join(s.Images(), "overlayfs"))+du(t, filepath.Join(s.Images(), "content/blobs")))
	}
	before := row("Images")
	told(before, "")
	for _, what := range []string{"manifests/1", "blobs/sha256:" + blob} {
		answered(t, 200, "GET", "http://"+host+"/v2/far/app/"+what, nil)
	}
	told(before, "1 3.00")
	stack.Says(t, s.OK(t, "system", "df", "-v"), "Registry usage: 3.00", "MB beside the images")
	theirs := s.Do(nil, dockerClient(t), "system", "df", "--format", "{{.Type}} {{.Size}}").Want(t, 0)
	if strings.Contains(theirs, "Registry") || strings.Contains(theirs, "Images "+strings.Fields(before)[1]+"\n") {
		t.Errorf("docker prints\n%s", theirs)
	}
	s.OK(t, "pull", host+"/far/app:1")
	if got := row("Registry"); got != "1 0B 0B" {
		t.Errorf("what an image has too is told as %q", got)
	}
	s.OK(t, "rmi", host+"/far/app:1")
	s.OK(t, "registry", "rm", "far/app")
	s.OK(t, "registry", "gc", "--grace", "0s")
	told(before, "")
}

// squeezed makes each run of blanks one: columns are as wide as their ages, and
// those go on.
func squeezed(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

func before(text, mark string) string {
	head, _, _ := strings.Cut(text, mark)
	return head
}

// reclaimed reads the last line of a prune.
func reclaimed(t *testing.T, text string) int64 {
	t.Helper()
	_, size, ok := strings.Cut(text, "Total reclaimed space: ")
	number := strings.TrimRight(size, "kMGB")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		t.Fatalf("no size in %q", text)
	}
	unit := map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[size[len(number):]]
	return int64(n * unit)
}

func TestSystemPrune(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	client := dockerClient(t)
	fill := func() {
		t.Helper()
		s.OK(t, "run", "--name", "ended", "--label", "tidy=yes", "-v", "/anonymous", "busybox", "true")
		s.OK(t, "run", "--name", "stays", "--label", "tidy=no", "busybox", "true")
		s.OK(t, "network", "create", "--label", "tidy=yes", "lonely")
		s.OK(t, "volume", "create", "named")
		s.Build(t, "app", map[string]string{"Dockerfile": "FROM busybox\nRUN echo a >/a\n"}).Want(t, 0)
	}
	fill()
	all := func() string {
		return s.OK(t, "ps", "-a", "--format", "{{.Names}}") + " " + s.OK(t, "network", "ls", "-q", "--filter", "type=custom", "--format", "{{.Name}}") + " " +
			strconv.Itoa(len(strings.Fields(s.OK(t, "volume", "ls", "-q")))) + " " + strings.Join(strings.Fields(s.OK(t, "images", "--format", "{{.Repository}}")), " ")
	}
	for _, program := range []string{s.Bin + "/lus", client} {
		asked := s.Do(strings.NewReader("n\n"), program, "system", "prune", "--volumes", "-a", "--filter", "label=tidy=yes")
		stack.Says(t, asked.All(), "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n"+
			"  - all anonymous volumes not used by at least one container\n  - all images without at least one container associated to them\n",
			"  Items to be pruned will be filtered with:\n  - label=tidy=yes\n", "Are you sure you want to continue? [y/N] ")
		r := s.Do(nil, program, "system", "prune", "-f", "--volumes", "--filter", "until=1h")
		r.Want(t, 1)
		stack.Says(t, r.Err, `The "until" filter is not supported with "--volumes"`)
		s.Do(nil, program, "system", "prune", "-f", "--filter", "until=1h").Want(t, 0)
	}
	want := "stays\nended lonely 2 app busybox"
	if got := all(); got != want {
		t.Errorf("declined and too young, and there is %q, want %q", got, want)
	}
	stack.Says(t, s.OK(t, "system", "prune", "-f", "--filter", "label=tidy=yes"), "Deleted Containers:\n", "Deleted Networks:\nlonely\n", "Total reclaimed space: ")
	if got := all(); got != "stays  2 app busybox" {
		t.Errorf("by label, and there is %q", got)
	}
	stack.Says(t, s.Do(nil, client, "system", "prune", "-f", "-a", "--volumes").Want(t, 0), "Deleted Containers:\n", "Deleted Volumes:\n", "untagged: app:latest", "Deleted build cache objects:\n")
	if got := all(); got != "  1 " {
		t.Errorf("after all is pruned there is %q; the named volume stays", got)
	}
	u := df(t, s)
	near(t, "all that is left", u.LayersSize+u.cache(), 0) // a builder's lease keeps a manifest a while
	if len(u.Images)+len(u.Containers)+len(u.BuildCache) != 0 {
		t.Errorf("df still tells of %+v", u)
	}
}
