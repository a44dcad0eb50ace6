package tree_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/tree"
)

// Somebody who works in the root puts a link to a file of the host in the place
// of a folder that was just made, before it is given its mode.
func TestAFolderThatBecomesALink(t *testing.T) {
	where := t.TempDir()
	secret, in := filepath.Join(where, "secret"), filepath.Join(where, "in")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	const folders = 1000
	links := t.TempDir()
	for n := range folders {
		if err := os.Symlink(secret, fmt.Sprintf("%s/%d", links, n)); err != nil {
			t.Fatal(err)
		}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	swapped := 0
	go func() {
		defer close(ended)
		for n := 0; n < folders; {
			select {
			case <-done:
				return
			default:
			}
			of := fmt.Sprintf("/%d", n)
			for tries := 0; tries < 1000; tries++ {
				if unix.Renameat2(unix.AT_FDCWD, links+of, unix.AT_FDCWD, in+of, unix.RENAME_EXCHANGE) == nil {
					swapped++
					n++
					break
				}
			}
		}
	}()
	for n := range folders {
		if f, err := tree.Chroot(dir).MkdirAll(fmt.Sprint(n), 0o755); err == nil {
			f.Close()
		}
	}
	close(done)
	<-ended
	if swapped == 0 {
		t.Fatal("the attack came too late: the test shows nothing")
	}
	if st, err := os.Stat(secret); err != nil || st.Mode() != 0o600 {
		t.Errorf("the host's file has now the mode %v, %v", st.Mode(), err)
	}
}
