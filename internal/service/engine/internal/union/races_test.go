package union_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/service/engine/internal/union"
)

// during runs an attack, step after step, while do runs.
func during(do func(), attack func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				attack()
			}
		}
	}()
	do()
	close(done)
	<-ended
}

// A container that has an empty volume at hand works in it while it is filled
// for another one: a folder with copies becomes a link to a folder of the host,
// so that the hard link of the next copy is one to the host's file.
func TestAVolumeThatIsFilledIsChanged(t *testing.T) {
	upper, mid, base := layers(t)
	file(t, base+"/data/a/shadow", "the image's", 0o644)
	for i := range 3000 { // time for the attack
		file(t, fmt.Sprintf("%s/data/b/%d", base, i), "", 0o644)
	}
	must(t, os.MkdirAll(base+"/data/z", 0o755))
	must(t, os.Link(base+"/data/a/shadow", base+"/data/z/shadow"))
	f, err := union.Open([]string{upper, mid, base})
	must(t, err)
	defer f.Close()
	where := t.TempDir()
	host, dst := filepath.Join(where, "host"), filepath.Join(where, "volume")
	file(t, host+"/shadow", "the host's", 0o600)
	theirs, err := os.Stat(host + "/shadow")
	must(t, err)
	// On a busy machine the attack may come when all is copied: then again.
	inTime := false
	for end := time.Now().Add(3 * time.Minute); !inTime && time.Now().Before(end); {
		must(t, os.RemoveAll(dst))
		must(t, os.Mkdir(dst, 0o755))
		changed := false
		during(func() { _, err = f.CopyUp("/data", dst) }, func() {
			if _, serr := os.Lstat(dst + "/b"); serr == nil && !changed {
				changed = os.Rename(dst+"/a", dst+"/was") == nil && os.Symlink(host, dst+"/a") == nil
				_, serr = os.Lstat(dst + "/z/shadow")
				inTime = changed && serr != nil
			}
		})
		if got, serr := os.Stat(dst + "/z/shadow"); serr == nil && os.SameFile(got, theirs) {
			t.Fatal("the volume has a link to the host's file")
		}
	}
	if !inTime {
		t.Fatal("the attack came too late: the test shows nothing")
	}
	if err == nil {
		t.Error("nobody noticed that the volume changed")
	}
}

// The same with a pipe that becomes a link to a file of the host, whose mode is
// then changed to what the image says.
func TestANodeThatIsFilledIsChanged(t *testing.T) {
	upper, mid, base := layers(t)
	must(t, os.MkdirAll(base+"/data", 0o755))
	const pipes = 1500
	for i := range pipes {
		name := fmt.Sprintf("%s/data/%04d", base, i)
		must(t, unix.Mkfifo(name, 0o600))
		must(t, os.Chmod(name, 0o777|os.ModeSetuid))
	}
	f, err := union.Open([]string{upper, mid, base})
	must(t, err)
	defer f.Close()
	where := t.TempDir()
	secret, dst := filepath.Join(where, "secret"), filepath.Join(where, "volume")
	file(t, secret, "the host's", 0o600)
	for range 5 {
		must(t, os.RemoveAll(dst))
		must(t, os.Mkdir(dst, 0o755))
		next := 0
		link := filepath.Join(where, "link")
		during(func() { _, _ = f.CopyUp("/data", dst) }, func() {
			name := fmt.Sprintf("%s/%04d", dst, next)
			if _, err := os.Lstat(name); err != nil {
				return
			}
			if next++; os.Symlink(secret, link) == nil {
				_ = os.Rename(link, name)
			}
		})
		if st, err := os.Stat(secret); err != nil || st.Mode() != 0o600 {
			t.Fatalf("the host's file is now %v, %v", st.Mode(), err)
		}
		_ = os.Remove(link)
	}
}

// The writable layer of a running container is its own to change: who a user is
// must not wait for a pipe that was put in the place of /etc/passwd, nor open a
// device.
func TestAPasswdThatBecomesAPipe(t *testing.T) {
	upper, _, base := layers(t)
	file(t, upper+"/etc/passwd", "web:x:1:1::/:\n", 0o644)
	must(t, unix.Mkfifo(upper+"/etc/pipe", 0o644))
	f, err := union.Open([]string{upper, base})
	must(t, err)
	defer f.Close()
	var tried, read atomic.Int64
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		during(func() {
			for range 30000 {
				if _, err := f.ReadFile("/etc/passwd", 1<<10); err == nil {
					read.Add(1)
				}
				tried.Add(1)
			}
		}, func() {
			_ = unix.Renameat2(unix.AT_FDCWD, upper+"/etc/passwd", unix.AT_FDCWD, upper+"/etc/pipe", unix.RENAME_EXCHANGE)
		})
	}()
	for last := int64(-1); ; {
		select {
		case <-finished:
		case <-time.After(time.Minute):
			if now := tried.Load(); now > last { // slowly, but it goes on
				last = now
				continue
			}
			// Let go of whoever waits, or the test never ends.
			for _, name := range []string{"passwd", "pipe"} {
				if w, err := os.OpenFile(upper+"/etc/"+name, os.O_RDWR|unix.O_NONBLOCK, 0); err == nil {
					defer w.Close()
				}
			}
			t.Fatal("reading a file of the container waits for ever")
		}
		break
	}
	if read.Load() == 0 {
		t.Error("the file was never there: the test shows nothing")
	}
}
