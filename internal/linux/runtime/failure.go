package runtime

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	initproc "lus/internal/linux/init"
	"lus/internal/model/task"
)

// failure turns a step that the init could not take into an error, worded as
// Docker's clients expect: they derive the exit code from the text.
func failure(err error) error {
	var failed *task.StepError
	if !errors.As(err, &failed) {
		return err
	}
	errno, step := unix.Errno(failed.Errno), failed.Step
	if name, ok := strings.CutPrefix(step, "exec "); ok {
		return execFailure(errno, name)
	}
	kind := errs.Internal
	what := step
	switch {
	case strings.HasPrefix(step, "chdir "):
		kind = errs.CommandNotExecutable
		if errno == unix.ENOENT {
			kind = errs.CommandNotFound
		}
		if errno == unix.EXDEV {
			return errs.New(kind, "unable to start container process: the working directory lies outside the container's root")
		}
	case strings.HasPrefix(step, "mount ") && errno == unix.ENOTDIR:
		kind = errs.Invalid
		what += " (are you trying to mount a directory onto a file, or vice versa?)"
	case strings.HasPrefix(step, "mount ") && errno == unix.EPERM:
		kind = errs.Invalid
		what += " (nothing can be mounted inside /proc)"
	case strings.HasPrefix(step, "set the sysctl "):
		kind = errs.Invalid
	}
	return errs.New(kind, "unable to start container process: %s: %w", what, errno)
}

func execFailure(errno unix.Errno, name string) error {
	quoted := strconv.Quote(name)
	kind, why := errs.CommandNotExecutable, errno.Error()
	switch errno {
	case unix.ENOENT:
		kind, why = errs.CommandNotFound, "executable file not found in $PATH"
		if strings.Contains(name, "/") {
			why = "stat " + name + ": no such file or directory"
		}
	case unix.EACCES, unix.EISDIR, unix.ENOEXEC, unix.ENOTDIR, unix.EPERM:
	default:
		kind = errs.Internal
	}
	return &errs.Error{Kind: kind, Msg: fmt.Sprintf("unable to start container process: exec: %s: %s", quoted, why), Err: errno}
}

// sysctls writes the operations for kernel parameters, in a stable order.
func sysctls(p *initproc.Program, values map[string]string) error {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path := name
		if !strings.Contains(name, "/") {
			path = strings.ReplaceAll(name, ".", "/")
		}
		if !namespaced(path) {
			return errs.New(errs.Invalid, "sysctl %q is not of a container but of the whole host: only those of the IPC namespace, net.* and kernel.domainname can be set", name)
		}
		if strings.IndexByte(path+values[name], 0) >= 0 {
			return errs.New(errs.Invalid, "sysctl %q contains a zero byte", name)
		}
		p.Sysctl(path, values[name])
	}
	return nil
}

// namespaced reports whether a kernel parameter belongs to a namespace that a
// container can have for itself.
func namespaced(path string) bool {
	if strings.Contains(path, "..") {
		return false
	}
	switch path {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall",
		"kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced", "kernel/domainname":
		return true
	}
	return strings.HasPrefix(path, "net/") || strings.HasPrefix(path, "fs/mqueue/")
}
