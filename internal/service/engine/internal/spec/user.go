package spec

import (
	"bytes"
	"math"
	"slices"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/service/engine/internal/union"
)

// User is who a process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// Spec writes the user as the runtime spec does.
func (u User) Spec() specs.User {
	return specs.User{UID: u.UID, GID: u.GID, AdditionalGids: u.Groups}
}

// FindUser reads "user[:group]" (names or numbers; empty is root) by the
// container's own /etc/passwd and /etc/group, and adds further groups.
func FindUser(files *union.FS, who string, groups []string) (User, error) {
	a, err := readAccounts(files)
	if err != nil {
		return User{}, err
	}
	return a.find(who, groups)
}

func (a *accounts) find(who string, groups []string) (User, error) {
	u, err := user.GetExecUser(who, &user.ExecUser{Home: "/"}, bytes.NewReader(a.passwd), bytes.NewReader(a.group))
	if err != nil {
		return User{}, errs.New(errs.Invalid, "unable to find user %s: %w", who, err)
	}
	more, err := user.GetAdditionalGroups(groups, bytes.NewReader(a.group))
	if err != nil {
		return User{}, errs.New(errs.Invalid, "Unable to find group: %w", err)
	}
	for _, id := range slices.Concat([]int{u.Uid, u.Gid}, u.Sgids, more) {
		if id < 0 || id >= math.MaxUint32 {
			return User{}, errs.New(errs.Invalid, "unable to find user %s: the image's passwd or group file gives it the number %d, which no user can have", who, id)
		}
	}
	out := User{UID: uint32(u.Uid), GID: uint32(u.Gid), Home: u.Home}
	// A process's own group stands among the others: Docker's answer to
	// CVE-2022-36109, where a group it lacks could give it more.
	out.Groups = []uint32{out.GID}
	for _, g := range append(u.Sgids, more...) {
		if uint32(g) != out.GID {
			out.Groups = append(out.Groups, uint32(g))
		}
	}
	if out.Home == "" {
		out.Home = "/"
	}
	return out, nil
}
