package copies

import (
	"errors"
	"io"

	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/user"
	fs "github.com/tonistiigi/fsutil/copy"

	"lus/internal/base/errs"
	"lus/internal/service/build/internal/executor"
)

// readUser finds the owner that a step names in the image's own files. A name
// that is not there is root, as BuildKit has it.
func readUser(o *pb.ChownOpt, users, groups snapshot.Mountable) (*fs.User, error) {
	if o == nil {
		return nil, nil
	}
	var out fs.User
	switch u := o.GetUser().GetUser().(type) {
	case *pb.UserOpt_ByID:
		out.UID, out.GID = int(u.ByID), int(u.ByID)
	case *pb.UserOpt_ByName:
		err := search(users, user.GetPasswdPath, func(r io.Reader) error {
			found, err := user.ParsePasswdFilter(r, func(x user.User) bool { return x.Name == u.ByName.GetName() })
			if len(found) > 0 {
				out.UID, out.GID = found[0].Uid, found[0].Gid
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	switch g := o.GetGroup().GetUser().(type) {
	case *pb.UserOpt_ByID:
		out.GID = int(g.ByID)
	case *pb.UserOpt_ByName:
		err := search(groups, user.GetGroupPath, func(r io.Reader) error {
			found, err := user.ParseGroupFilter(r, func(x user.Group) bool { return x.Name == g.ByName.GetName() })
			if len(found) > 0 {
				out.GID = found[0].Gid
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return &out, nil
}

// search lets read look into a file of an image.
func search(m snapshot.Mountable, where func() (string, error), read func(io.Reader) error) error {
	if m == nil {
		return errs.New(errs.Internal, "an owner is named and there is no image to look it up in")
	}
	name, err := where()
	if err != nil {
		return err
	}
	mounter := snapshot.LocalMounter(m)
	dir, err := mounter.Mount()
	if err != nil {
		return err
	}
	text, err := executor.UserFile(dir, name)
	if err == nil {
		err = read(text)
	}
	return errors.Join(err, mounter.Unmount())
}
