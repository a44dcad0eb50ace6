package image_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/filter"
)

// parcel is an image with one big layer, and its registry's door: the first
// time, the layer comes in part and then nothing does.
type parcel struct {
	*world
	ref, text string
	layer     string // its digest
	packed    []byte

	mu     sync.Mutex
	ranges []string // of each request for the layer
	stuck  chan struct{}
}

const parcelPart = 3 << 20

func newParcel(t *testing.T) *parcel {
	w := newWorld(t)
	p := &parcel{world: w, text: noise(6 << 20), stuck: make(chan struct{})}
	img := imageOf(t, layer(t, entry{name: "below", text: "b"}), layer(t, entry{name: "big", text: p.text}))
	p.ref = w.reg.push("parcel:1", img)
	_, p.layer = partsOf(t, img)
	layers, _ := img.Layers()
	rc, err := layers[1].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if p.packed, err = io.ReadAll(rc); err != nil {
		t.Fatal(err)
	}
	w.reg.behind(p.door)
	return p
}

// door lets a part of the layer through and then hangs, the first time.
func (p *parcel) door(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, p.layer) {
		return false
	}
	p.mu.Lock()
	p.ranges = append(p.ranges, r.Header.Get("Range"))
	first := len(p.ranges) == 1
	p.mu.Unlock()
	if !first {
		return p.serve(w, r)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(p.packed)))
	w.Write(p.packed[:parcelPart])
	w.(http.Flusher).Flush()
	close(p.stuck)
	<-r.Context().Done()
	return true
}

// serve answers for the layer as a registry does that knows ranges; the one
// behind the door does not know open ones.
func (p *parcel) serve(w http.ResponseWriter, r *http.Request) bool {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.packed))
	return true
}

// came waits until the store has the part.
func (p *parcel) came() {
	p.t.Helper()
	<-p.stuck
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, f := range p.partials() {
			if i, err := os.Stat(f); err == nil && i.Size() == parcelPart {
				return
			}
		}
	}
	p.t.Fatal("the part never came")
}

func (p *parcel) partials() []string {
	found, _ := filepath.Glob(filepath.Join(p.root, "content/ingest/*/data"))
	return found
}

// arrived checks what is there and that the rest alone was asked for.
func (p *parcel) arrived(from ...string) {
	p.t.Helper()
	if got, _ := p.read(p.ref, "big"); got != p.text {
		p.t.Errorf("the file has %d bytes, not the right %d", len(got), len(p.text))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.ranges, append([]string{""}, from...)) {
		p.t.Errorf("asked for the ranges %q", p.ranges)
	}
	if left := p.partials(); len(left) > 0 {
		p.t.Errorf("left are %v", left)
	}
}

// aborted begins the pull and ends it when the part is there.
func (p *parcel) aborted() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.PullImage(ctx, p.ref, "", nil, nil) }()
	p.came()
	cancel()
	if err := <-done; !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "cancelled") {
		p.t.Fatalf("the pull ended with %v", err)
	}
}

var rest = fmt.Sprintf("bytes=%d-", parcelPart)

func TestADownloadThatStallsGoesOn(t *testing.T) {
	p := newParcel(t)
	p.limits(5 * time.Second)
	p.pull(p.ref)
	p.arrived(rest)
}

func TestADownloadThatBreaksOffGoesOn(t *testing.T) {
	p := newParcel(t)
	p.reg.behind(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, p.layer) {
			return false
		}
		p.mu.Lock()
		p.ranges = append(p.ranges, r.Header.Get("Range"))
		first := len(p.ranges) == 1
		p.mu.Unlock()
		if !first {
			return p.serve(w, r)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(p.packed)))
		w.Write(p.packed[:parcelPart])
		return true
	})
	p.pull(p.ref)
	p.arrived(rest)
}

// A pull that was given up, and one that was killed with the daemon, go on where
// they were; so does one whose registry knows no ranges.
func TestTheNextPullGoesOn(t *testing.T) {
	t.Run("after a cancel", func(t *testing.T) {
		p := newParcel(t)
		p.aborted()
		p.collect()
		p.pull(p.ref)
		p.arrived(rest)
	})
	t.Run("after a kill", func(t *testing.T) {
		p := newParcel(t)
		p.killed()
		p.pull(p.ref)
		p.arrived(rest)
	})
	t.Run("after two kills", func(t *testing.T) {
		p := newParcel(t)
		p.killed()
		p.reopen()
		p.collect()
		p.pull(p.ref)
		p.arrived(rest)
	})
	t.Run("after the blob came whole by another way", func(t *testing.T) {
		p := newParcel(t)
		p.aborted()
		desc := ocispec.Descriptor{Digest: digest.Digest(p.layer), Size: int64(len(p.packed))}
		if err := content.WriteBlob(p.store.Context(context.Background()), p.store.ContentStore(), "other", bytes.NewReader(p.packed), desc); err != nil {
			t.Fatal(err)
		}
		p.pull(p.ref)
		p.arrived()
	})
	t.Run("without ranges", func(t *testing.T) {
		p := newParcel(t)
		p.aborted()
		p.reg.behind(func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		})
		p.pull(p.ref)
		p.arrived()
	})
	t.Run("with ranges refused", func(t *testing.T) {
		p := newParcel(t)
		p.aborted()
		p.reg.behind(nil) // answers 416
		p.pull(p.ref)
		p.arrived()
	})
	t.Run("after the rest was put off", func(t *testing.T) {
		p := newParcel(t)
		p.aborted()
		p.reg.behind(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, p.layer) {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		p.refuse(p.ref, errs.Unavailable, "503 Service Unavailable")
		p.reg.behind(p.door)
		p.pull(p.ref)
		p.arrived(rest)
	})
	t.Run("after the part went bad", func(t *testing.T) {
		p := newParcel(t)
		p.aborted()
		spoil(t, p.partials()[0])
		p.pull(p.ref)
		p.arrived(rest, "")
	})
	t.Run("with more than there is", func(t *testing.T) {
		p := newParcel(t)
		p.aborted()
		f, err := os.OpenFile(p.partials()[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(make([]byte, len(p.packed)))
		f.Close()
		p.pull(p.ref)
		p.arrived("")
	})
}

func spoil(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("spoilt"), 1000); err != nil {
		t.Fatal(err)
	}
}

// killed leaves the store as a kill of the daemon would, with a part of the
// layer in it, and opens it again.
func (p *parcel) killed() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // its store is gone
		_ = p.PullImage(ctx, p.ref, "", nil, nil)
	}()
	p.came()
	copied := p.snapshot()
	cancel()
	<-done
	p.store.Close()
	p.root = copied
	p.open()
	p.collect()
	if list, err := p.ListImages(context.Background(), true, nil); err != nil || len(list) > 0 {
		p.t.Errorf("after the kill there are images: %v, %v", list, err)
	}
}

// What is kept of a pull is no image, and prune gives its space back.
func TestAPruneDropsWhatCameInPart(t *testing.T) {
	p := newParcel(t)
	before := p.files()
	p.aborted()
	if len(p.partials()) != 1 {
		t.Fatalf("kept are %v", p.partials())
	}
	if _, _, err := p.PruneImages(context.Background(), filter.Filters{}); err != nil {
		t.Fatal(err)
	}
	p.same(before)
	p.pull(p.ref)
	p.arrived("")
}

// The layer above comes first, and has things in folders that only the layers
// below describe.
func TestLayersNeedNotComeInOrder(t *testing.T) {
	w := newWorld(t)
	img := imageOf(t,
		layer(t, entry{name: "d/", kind: '5', mode: 0o3711, uid: 7, xattrs: map[string]string{"user.of": "below"}}, entry{name: "d/e/", kind: '5', mode: 0o700, uid: 8},
			entry{name: "gone/", kind: '5', mode: 0o700, uid: 9}, entry{name: "was-a-file", text: "x"}, entry{name: "link", kind: '2', link: "d"}),
		layer(t, entry{name: "d/", kind: '5', mode: 0o750, uid: 17}, entry{name: ".wh.gone"}),
		layer(t, entry{name: "d/e/new", text: "new"}, entry{name: "gone/again", text: "x"}, entry{name: "was-a-file/now", text: "x"}, entry{name: "other/f", text: "x"}),
	)
	ref := w.reg.push("app:1", img)
	layers, _ := img.Layers()
	digests := make([]string, len(layers))
	for i, l := range layers {
		d, _ := l.Digest()
		digests[i] = d.String()
	}
	last := make(chan struct{})
	w.reg.behind(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digests[2]) {
			defer close(last)
		}
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digests[0]) {
			<-last
		}
		return false
	})
	w.pull(ref)
	l, err := w.Layers(context.Background(), w.inspect(ref).ID)
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"d": "1750 17", "d/e": "0700 8", "gone": "0755 0", "was-a-file": "0755 0", "other": "0755 0",
	} {
		if dir == "d" {
			want = "0750 17" // as the layer in the middle says, without a sticky bit
		}
		i, err := os.Stat(filepath.Join(l.Dirs[0], dir))
		if err != nil {
			t.Fatal(err)
		}
		st := i.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%04o %d", st.Mode&0o7777, st.Uid); got != want {
			t.Errorf("%s is %s, want %s", dir, got, want)
		}
	}
	if got, _ := w.read(ref, "d/e/new"); got != "new" {
		t.Errorf("the file is %q", got)
	}
}

func TestAFolderIsAsTheLayerBelowHasIt(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("app:1", imageOf(t,
		layer(t, entry{name: "d/", kind: '5', mode: 0o3711, uid: 7, xattrs: map[string]string{"user.of": "below"}}),
		layer(t, entry{name: "d/f", text: "x"})))
	w.pull(ref)
	l, err := w.Layers(context.Background(), w.inspect(ref).ID)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(l.Dirs[0], "d")
	i, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 16)
	n, err := unix.Lgetxattr(dir, "user.of", value)
	if st := i.Sys().(*syscall.Stat_t); err != nil || st.Mode&0o7777 != 0o3711 || st.Uid != 7 || string(value[:n]) != "below" {
		t.Errorf("%o %d %q (%v)", st.Mode, st.Uid, value[:n], err)
	}
}

// Many layers at once, each unpacked by itself, are the image in the end.
func TestManyLayersAtOnce(t *testing.T) {
	w := newWorld(t)
	var layers []v1.Layer
	for i := range 40 {
		layers = append(layers, layer(t, entry{name: "d/f" + strconv.Itoa(i), text: noise(20_000 + i)}, entry{name: "d/.wh.f" + strconv.Itoa(i-1)}))
	}
	ref := w.reg.push("app:1", imageOf(t, layers...))
	w.pull(ref)
	for i := range 40 {
		if _, there := w.read(ref, "d/f"+strconv.Itoa(i)); there != (i == 39) {
			t.Errorf("f%d is there: %v", i, there)
		}
	}
}
