package daemon

import "os"

// ownTemp has libraries put temporary files and mounts into a folder that only root
// enters. BuildKit's are the secrets of builds and the sockets of agents, for the
// user that a step names, and this host may have one of that number.
func ownTemp(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", dir)
}
