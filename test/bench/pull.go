package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"lus/test/stack"
)

// pulls measures a pull of the pushed image from our registry into another daemon,
// beside skopeo, which copies the same image from there to a folder, in turn. skopeo
// only fetches and checks; a pull unpacks as well.
func (b *suite) pulls(host string) (r *row, err error) {
	r = &row{Name: "pull of 500 MB from our registry into another daemon (floor: `skopeo copy` to a folder)", Unit: "ms"}
	s, err := stack.New()
	if err != nil {
		return nil, err
	}
	defer func() {
		if left := s.Remove(); left != "" {
			err = errors.Join(err, fmt.Errorf("the other daemon left behind:\n%s", left))
		}
	}()
	if err := s.Up(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.DaemonLog(20))
	}
	other := *b.lus
	other.env = s.Env()
	skopeo, missing := exec.LookPath("skopeo")
	b.leftOut("skopeo", missing)
	ref, dir := host+"/bench/big:0", filepath.Join(b.dir, "copied")
	for range b.samples {
		if err := r.timed(b.lus.name, only(&other, "pull", ref)); err != nil {
			return nil, err
		}
		if _, err := other.do("rmi", ref); err != nil {
			return nil, err
		}
		if missing != nil {
			continue
		}
		err := r.timed("floor", func() error {
			out, err := exec.Command(skopeo, "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://"+ref, "dir:"+dir).CombinedOutput()
			if err != nil {
				return fmt.Errorf("skopeo: %w: %s", err, out)
			}
			return nil
		})
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return nil, err
		}
	}
	return r, nil
}
