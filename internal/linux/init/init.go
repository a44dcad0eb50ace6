// Package initproc carries the init, the small static C program that the
// keeper forks into a container's namespaces, and writes the list of
// operations that it carries out between clone and exec. (Its folder is init;
// Go does not allow a package of that name to be imported.)
package initproc

import (
	"embed"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

//go:embed all:built
var built embed.FS

// The descriptors that the init finds open, besides the standard streams.
const (
	ProgramFD   = 3 // the program, as Program.Memfd makes it
	StatusFD    = 4 // the status socket
	FirstFileFD = 5 // the files that its operations use
)

// Open returns the init as a sealed memfd, to be executed by its descriptor:
// nobody, not even root in a container, can change it. The caller closes it.
func Open() (*os.File, error) {
	code, err := Binary()
	if err != nil {
		return nil, err
	}
	return sealed("lus-init", code, unix.MFD_EXEC)
}

// Binary is the init as a file of its own, which "NAME -- COMMAND..." makes a
// container's first process: it reaps, and hands signals on to the command.
func Binary() ([]byte, error) {
	code, err := fs.ReadFile(built, "built/init")
	if err != nil {
		return nil, errs.New(errs.Internal, "the init is not part of this program: run \"make build\", which compiles it before everything else")
	}
	return code, nil
}

// sealed returns a memfd with data that can no longer change.
func sealed(name string, data []byte, flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|flags)
	if err == unix.EINVAL { // before 6.3 a memfd is always executable and there is no flag to say so
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("make a memfd for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := fill(f, data); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("fill the memfd for %s: %w", name, err)
	}
	return f, nil
}

func fill(f *os.File, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(int(f.Fd()), data)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS,
		unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	return err
}
