package content_test

import "golang.org/x/sys/unix"

// mknodWhiteout makes what overlayfs keeps in place of a deleted file.
func mknodWhiteout(path string) error {
	return unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(0, 0)))
}
