package spec

import (
	"errors"
	"os"
	"strings"
	"sync"

	"lus/internal/service/engine/internal/union"
)

// accounts are the files that say who there is.
type accounts struct{ passwd, group []byte }

const usersLimit = 4 << 20 // bytes of a passwd or group file

func readAccounts(files *union.FS) (*accounts, error) {
	passwd, err := optional(files, "/etc/passwd")
	if err != nil {
		return nil, err
	}
	group, err := optional(files, "/etc/group")
	if err != nil {
		return nil, err
	}
	return &accounts{passwd, group}, nil
}

func optional(files *union.FS, name string) ([]byte, error) {
	b, err := files.ReadFile(name, usersLimit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Users finds users like FindUser, and remembers what images say about them: reading
// that anew takes fifty looks at an image's layers, and more for more layers. What a
// container has changed is looked at each time. The zero value is ready.
type Users struct {
	mu   sync.Mutex
	seen map[string]*accounts // by the layers' folders
}

const (
	usersKept = 64       // images; then all are forgotten
	keptLimit = 64 << 10 // bytes of one image's files
)

// Find is FindUser in a container: its own layer on top of its image's, topmost
// first.
func (c *Users) Find(upper string, layers []string, who string, groups []string) (User, error) {
	key := strings.Join(layers, ":")
	c.mu.Lock()
	a := c.seen[key]
	c.mu.Unlock()
	if a != nil {
		same, err := union.Untouched(upper, "etc", "passwd", "group")
		if err != nil {
			return User{}, err
		}
		if same {
			return a.find(who, groups)
		}
	}
	files, err := union.Open(append([]string{upper}, layers...))
	if err != nil {
		return User{}, err
	}
	defer files.Close()
	if a == nil {
		if err := c.learn(key, layers); err != nil {
			return User{}, err
		}
	}
	return FindUser(files, who, groups)
}

// learn remembers an image's files, if they are where they seem to be and small.
func (c *Users) learn(key string, layers []string) error {
	files, err := union.Open(layers)
	if err != nil {
		return err
	}
	defer files.Close()
	for _, name := range []string{"/etc/passwd", "/etc/group"} {
		if direct, err := files.Direct(name); err != nil || !direct {
			return nil // who looks for a user is told what is wrong with it
		}
	}
	a, err := readAccounts(files)
	if err != nil || len(a.passwd)+len(a.group) > keptLimit {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) >= usersKept || c.seen == nil {
		c.seen = map[string]*accounts{}
	}
	c.seen[key] = a
	return nil
}
