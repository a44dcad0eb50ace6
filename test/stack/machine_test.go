package stack

import "testing"

func TestDiffTellsWhatCameAndWent(t *testing.T) {
	before := Machine{Mounts: {"a", "b", "b"}, Rules: {"r"}, Files: nil}
	after := Machine{Mounts: {"b", "c"}, Rules: {"r"}, Files: {"/x"}}
	const want = "+ file /x\n+ mount c\n- mount a\n- mount b"
	if got := before.Diff(after); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := before.Less(Mounts, Files).Diff(after.Less(Mounts, Files)); got != "" {
		t.Errorf("without mounts and files: %s", got)
	}
	if got := before.Diff(before); got != "" {
		t.Errorf("with itself: %s", got)
	}
}
