package build_test

import (
	"strings"
	"testing"
)

func TestABuildGivesARunnableImage(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nRUN echo made > /made\nCOPY a.txt /\n", map[string]string{"a.txt": "hello\n"}).ok(t)
	t.Log(r.output)
	b.wantFile(r.id, "made", "made")
	b.wantFile(r.id, "a.txt", "hello")
	if !b.hasImage("app:latest") {
		t.Error("the image has no name")
	}
	again := b.file("FROM busybox\nRUN echo made > /made\nCOPY a.txt /\n", map[string]string{"a.txt": "hello\n"}).ok(t)
	if n := strings.Count(again.output, "CACHED"); n != 2 {
		t.Errorf("%d steps are cached, want 2:\n%s", n, again.output)
	}
	t.Log(again.output)
}
