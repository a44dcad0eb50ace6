package folder

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/contenthash"
	"github.com/tonistiigi/fsutil"

	"lus/internal/base/ids"
	"lus/test/need"
)

// kept is a record of BuildKit's cache, as far as content hashes need one.
type kept struct {
	cache.RefMetadata
	id string

	mu   sync.Mutex
	data map[string][]byte
}

func (k *kept) ID() string { return k.id }

func (k *kept) GetExternal(key string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if data, ok := k.data[key]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (k *kept) SetExternal(key string, data []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.data[key] = data
	return nil
}

// hashOf is the hash that the cache key of a copy of the folder is made of.
// Meanwhile is called before anything has changed, and after each path is told.
func hashOf(t *testing.T, dir string, meanwhile func(p string)) string {
	t.Helper()
	ctx := context.Background()
	h, err := openHashes(ctx, &kept{id: ids.New(), data: map[string][]byte{}})
	must(t, err)
	dest, err := openTree(t.TempDir())
	must(t, err)
	defer dest.close()
	src, err := openTree(dir)
	must(t, err)
	defer src.close()
	y := &syncer{dest: dest.root, index: index{}, trust: true, again: func() error { return h.again(ctx) }}
	y.begin = func() error { meanwhile(""); return nil }
	y.change = func(kind fsutil.ChangeKind, p string, fi os.FileInfo, err error) error {
		defer meanwhile(p)
		return h.change(kind, p, fi, err)
	}
	must(t, y.run(ctx, src, &fsutil.FilterOpt{}))
	sum, err := h.told.Checksum(ctx, nil, "/", contenthash.ChecksumOpts{}, nil)
	must(t, err)
	return sum.String()
}

// What came and went while the folder was read is not in its hash either, by
// which a later build would take it for another.
func TestWhatWentMeanwhileIsNotInTheHash(t *testing.T) {
	t.Parallel()
	need.Root(t)
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "other")
	put(t, dir, "a", "A")
	put(t, dir, "d/f", "F")
	must(t, os.WriteFile(other, []byte("other"), 0o644))
	var once sync.Once
	got := hashOf(t, dir, func(p string) {
		switch p {
		case "": // the walk has looked at it: it is looked at once more
			if err := os.Rename(other, filepath.Join(dir, "a")); err != nil {
				t.Error(err)
			}
		case "d/f":
			once.Do(func() {
				if err := os.RemoveAll(filepath.Join(dir, "d")); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if want := hashOf(t, dir, func(string) {}); got != want {
		t.Errorf("the hash is %s, that of what is there %s", got, want)
	}
}
