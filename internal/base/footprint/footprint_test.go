package footprint

import (
	"os"
	"slices"
	"testing"
)

const smaps = `00400000-016f8000 r-xp 00000000 fe:00 9986277                            /bin/lusd
Size:              19424 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
016f8000-02ac2000 r--p 012f8000 fe:00 9986277                            /bin/lusd
Anonymous:             4 kB
02ac2000-02b8d000 rw-p 026c2000 fe:00 9986277                            /bin/lusd
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 1                          /lib/other
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
`

func TestOnlyUnchangedPagesOfTheProgramAreGivenBack(t *testing.T) {
	got := pure([]byte(smaps), "/bin/lusd")
	if want := []area{{0x400000, 0x16f8000}}; !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	for _, broken := range []string{"", "x", "1-2 r-xp 0 0 0 /bin/lusd", "zz-yy r-xp 0 0 0 /bin/lusd\nAnonymous: 0 kB", "2-1 r-xp 0 0 0 /bin/lusd\nAnonymous: 0 kB"} {
		if got := pure([]byte(broken), "/bin/lusd"); got != nil {
			t.Errorf("%q: got %x, want none", broken, got)
		}
	}
}

var table = [4]string{"still", "here", "after", "shrinking"}

func TestAProgramGoesOnAfterShrinking(t *testing.T) {
	before, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if len(pure(before, self)) == 0 {
		t.Fatal("nothing of this program can be given back")
	}
	Shrink()
	if table[3] != "shrinking" {
		t.Error("a table of the program changed")
	}
}
