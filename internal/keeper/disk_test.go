package keeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAFullDisk(t *testing.T) {
	b := start(t)
	dir := filepath.Join(b.where.Run, "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for _, drop := range []bool{true, false} {
		name := fmt.Sprintf("drop-%v", drop)
		through := filepath.Join(b.where.Run, name+".through")
		c := b.logged(name)
		c.Streams.Log.Path, c.Streams.Log.Drop, c.Streams.Stdin = filepath.Join(dir, name), drop, true
		b.run(c, "echo first; read go; i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done; echo >"+through+"; read go; echo last; exit 0")
		eventually(t, func() bool { out, _, _ := b.logOf(c.Streams.Log.Path); return out == "first\n" })
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 17<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		in, err := b.Stdin(t.Context(), c.Key)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(in, "go\n")
		if drop { // it goes on
			eventually(t, func() bool { _, err := os.Stat(through); return err == nil })
		} else { // it waits
			eventually(t, func() bool {
				log, _ := os.ReadFile(filepath.Join(b.where.Run, "keeper.log"))
				return bytes.Contains(log, []byte("its process waits"))
			})
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(in, "go\n")
		in.Close()
		if exit := b.end(c.Key); exit.Code != 0 {
			t.Errorf("%s: %+v", name, exit)
		}
		out, _, notices := b.logOf(c.Streams.Log.Path)
		if !strings.HasPrefix(out, "first\n") || !strings.HasSuffix(out, "last\n") {
			t.Errorf("%s: %d bytes from %.20q", name, len(out), out)
		}
		if whole := strings.Count(out, "\n") == 100_002; whole == drop {
			t.Errorf("%s: %d lines", name, strings.Count(out, "\n"))
		}
		if strings.Contains(notices, "dropped") != drop {
			t.Errorf("%s: notices %q", name, notices)
		}
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(long); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came to that")
		}
	}
}

func TestATornLogIsRepairedByTheNextKeeper(t *testing.T) {
	b := start(t)
	b.run(b.logged("c"), "echo whole; exit 0")
	b.end(key("c"))
	if err := b.Ack(t.Context(), key("c"), 0); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(b.logPath("c"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 24+20)
	if _, err := f.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(append(head[24:], "to"...), st.Size()); err != nil {
		t.Fatal(err)
	}
	f.Close()
	b.run(b.logged("c"), "echo after; exit 0")
	b.end(key("c"))
	if out, _, _ := b.output("c"); out != "whole\nafter\n" {
		t.Errorf("got %q", out)
	}
}

func TestRotatedOutputIsBounded(t *testing.T) {
	b := start(t)
	c := b.logged("c")
	c.Streams.Log.MaxSize, c.Streams.Log.MaxFiles = 16<<10, 3
	b.run(c, numbered(20_000, ""))
	b.end(c.Key)
	files, _ := filepath.Glob(b.logPath("c") + "*")
	var size int64
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	out, _, _ := b.output("c")
	if len(files) != 3 || size > 3*(16<<10)+readOnce || !strings.HasSuffix(out, "19999\n") {
		t.Errorf("%d files of %d bytes, ending in %q", len(files), size, out[max(0, len(out)-20):])
	}
}
