package image_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// Attacks by layers. Elsewhere: TestHostileTarStaysInside (absolute and
// climbing names, links within one layer, hard links), TestBombIsRefused,
// TestDamagedImagesAreRefused, TestFullDisk; what a device node of a layer can
// do is tried in test/scenarios (TestDeviceNodesOfALayerAreShut).

// guarded is a folder of the host with what a layer may be after.
func guarded(t *testing.T) (dir string, unchanged func(what string)) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"victim", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(what string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Errorf("%s: the host's folder has %v, %v", what, entries, err)
		}
		for _, name := range []string{"victim", "secret"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != name {
				t.Errorf("%s: the host's %s is %q, %v", what, name, text, err)
			}
		}
	}
}

// A whiteout deletes what it names from the layers below. One that names the
// folder it lies in, or the one above, would delete the store.
func TestWhiteoutsOfParents(t *testing.T) {
	w := newWorld(t)
	keep := w.reg.push("keep:1", imageOf(t, layer(t, entry{name: "keep", text: "k"})))
	w.pull(keep)
	for name, entries := range map[string][]entry{
		"itself":           {{name: ".wh.."}},
		"the one above":    {{name: ".wh..."}},
		"nothing":          {{name: ".wh."}},
		"below a folder":   {{name: "d/", kind: '5'}, {name: "d/.wh..."}},
		"twice above":      {{name: "d/", kind: '5'}, {name: "d/.wh.../.wh..."}},
		"with a slash":     {{name: ".wh.d/../../x"}},
		"opaque at top":    {{name: ".wh..wh..opq"}},
		"opaque above":     {{name: "../.wh..wh..opq"}},
		"reserved":         {{name: ".wh..wh.aufs", text: "x"}, {name: ".wh..wh.plnk/", kind: '5'}, {name: ".wh..wh.plnk/1.2", text: "x"}},
		"a folder of it":   {{name: ".wh.x/", kind: '5'}, {name: ".wh.x/file", text: "x"}},
		"a link of it":     {{name: ".wh.x", kind: '2', link: "/"}, {name: ".wh.x/file", text: "x"}},
		"the root as link": {{name: ".", kind: '2', link: "/"}, {name: "etc/x", text: "x"}},
		"the one above it": {{name: "..", kind: '2', link: "/"}},
	} {
		ref := w.reg.push("whiteout:1", imageOf(t, layer(t, entry{name: "base", text: "b"}), layer(t, entries...)))
		// Refused or kept inside: both are fine.
		_ = w.PullImage(context.Background(), ref, "", nil, nil)
		if got, there := w.read(keep, "keep"); !there || got != "k" {
			t.Fatalf("%s: another image lost its file: %q", name, got)
		}
	}
}

// A layer's link is followed by the entries of the next one.
func TestALayerDoesNotReachThroughTheLinkOfAnother(t *testing.T) {
	w := newWorld(t)
	outside, unchanged := guarded(t)
	links := layer(t,
		entry{name: "out", kind: '2', link: outside}, entry{name: "d/", kind: '5'}, entry{name: "d/up", kind: '2', link: "../../../../../../../.." + outside},
		entry{name: "file", kind: '2', link: filepath.Join(outside, "victim")})
	for name, entries := range map[string][]entry{
		"a file":                {{name: "out/mark", text: "x"}},
		"a file by a climb":     {{name: "d/up/mark", text: "x"}},
		"a folder":              {{name: "out/mark/", kind: '5'}},
		"the folder again":      {{name: "out/", kind: '5'}, {name: "out/mark", text: "x"}},
		"over what is there":    {{name: "out/victim", text: "x"}},
		"over a link to a file": {{name: "file", text: "x"}},
		"a link":                {{name: "out/mark", kind: '2', link: "x"}},
		"a hard link there":     {{name: "mine", text: "x"}, {name: "out/mark", kind: '1', link: "mine"}},
		"a hard link from":      {{name: "stolen", kind: '1', link: "out/secret"}},
		"a hard link, absolute": {{name: "stolen", kind: '1', link: filepath.Join(outside, "secret")}},
		"a whiteout":            {{name: "out/.wh.victim"}},
		"a whiteout by a climb": {{name: "d/up/.wh.victim"}},
		"an opaque folder":      {{name: "out/.wh..wh..opq"}},
		"a device":              {{name: "out/mark", kind: '6'}},
	} {
		ref := w.reg.push("through:1", imageOf(t, links, layer(t, entries...)))
		if err := w.PullImage(context.Background(), ref, "", nil, nil); err == nil {
			if got, there := w.read(ref, "stolen"); there && got == "secret" {
				t.Errorf("%s: the layer has the host's file", name)
			}
		}
		unchanged(name)
	}
}
