package registry

import (
	"strings"
	"testing"

	"lus/internal/model/registry"
)

// A path is taken apart in one way only: put together again it is the same, so
// that what is asked for is what the rules are asked about.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"me/app/manifests/1", "a/blobs/uploads/", "a/blobs/uploads/id", "a/blobs/uploads", "blobs/uploads/blobs/sha256:x", "a/tags/list", "tags/list/tags/list", "a/../b/manifests/x", "/manifests/", "a/referrers/sha256:x", "_catalog"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		repo, kind, rest := split(path)
		if kind == "" {
			if repo != "" || rest != "" {
				t.Fatalf("%q is nothing, with repository %q and rest %q", path, repo, rest)
			}
			return
		}
		if strings.Contains(rest, "/") {
			t.Fatalf("%q: the rest is %q", path, rest)
		}
		if kind == "tags" {
			rest = "list"
		}
		whole := strings.TrimPrefix(repo+"/"+kind+"/"+rest, map[bool]string{true: "/"}[repo == "" && !strings.HasPrefix(path, "/")])
		if whole != path && whole != path+"/" {
			t.Fatalf("%q was taken apart as %q, %q and %q", path, repo, kind, rest)
		}
		if registry.CheckName(repo) == nil && (strings.Contains(repo, "..") || strings.HasPrefix(repo, "/") || strings.HasSuffix(repo, "/") || strings.Contains(repo, "//")) {
			t.Fatalf("%q: the repository %q may be called so", path, repo)
		}
	})
}
