package composefile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/atomicfile"
	"lus/internal/composefile/internal/exact"
)

// Every command reads the project, and most of the time it is what it was: so
// what the library made of the files is remembered too. It is found again only
// by this program, by all that it was made from: the bytes of the files and of
// the env_files, the environment, and the options. All of that is the key by
// which it is encrypted as well, for values that were only in somebody's
// environment are among it and have no business on a disk. What the library is
// not sure to read from these alone is not remembered.

// remembered is one project on disk.
type remembered struct {
	path     string // empty: nothing is remembered
	options  *cli.ProjectOptions
	profiles []string
	env      types.Mapping // all variables, before the library adds the project's name
	text     []byte        // of the project's own files
	head     head          // as it stands on disk
	sealed   []byte
	before   []byte // the key before the project is read
}

// head is what stands before a remembered project, for everybody to read.
type head struct {
	EnvFiles []string `json:"envFiles"` // absolute, sorted
}

// reaching are words of files that bring other files in, or links of folders:
// where one of them stands, whatever it means there, nothing is remembered.
var reaching = []string{"include", "extends", "label_file", "watch", "pre_start", `\`}

// session are variables that tell one terminal or one call from another. They
// count only where a file has their names.
var session = []string{"SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES", "TERM", "WINDOWID", "TMUX", "TMUX_PANE", "STY", "SSH_CLIENT",
	"SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_TTY", "XDG_SESSION_ID", "DBUS_SESSION_BUS_ADDRESS", "WT_SESSION", "TERM_SESSION_ID",
	"SUDO_COMMAND", "MAKELEVEL", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"}

// remember looks for what is remembered of the project that is to be read.
func (r *reader) remember(options *cli.ProjectOptions) *remembered {
	m := &remembered{options: options, profiles: r.Profiles, env: maps.Clone(options.Environment)}
	dir, err := os.UserCacheDir()
	if err != nil || len(r.extra) > 0 {
		return m
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", r.Name, r.Profiles)
	for _, f := range options.ConfigPaths {
		data, err := regular(f)
		if err != nil {
			return m
		}
		fmt.Fprintf(h, "%q", files([]string{f}))
		m.text = append(m.text, data...)
	}
	for _, word := range reaching {
		if bytes.Contains(m.text, []byte(word)) {
			return m
		}
	}
	m.path = filepath.Join(dir, "lus", "compose", hex.EncodeToString(h.Sum(nil))[:32]+".project")
	m.read()
	m.before = m.key(m.head.EnvFiles)
	return m
}

// key is over all that a project is made from, and these files of variables; nil
// where not all of it can be read.
func (m *remembered) key(envFiles []string) []byte {
	dir, err := m.options.GetWorkingDir()
	if err != nil {
		return nil
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q %q\n", program(), schemaVersion(), dir, m.options.Name, m.profiles, os.Getenv("HOME"))
	var text []byte
	for _, f := range slices.Concat(files(m.options.ConfigPaths), envFiles) {
		data, err := regular(f)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		fmt.Fprintf(h, "file %q %t %d\n", f, err == nil, len(data))
		h.Write(data)
		text = append(text, data...)
	}
	for _, name := range slices.Sorted(maps.Keys(m.env)) {
		if !slices.Contains(session, name) || bytes.Contains(text, []byte(name)) {
			fmt.Fprintf(h, "variable %q %q\n", name, m.env[name])
		}
	}
	return h.Sum(nil)
}

// regular reads a file that can be read again: a pipe would be empty then.
func regular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file that is read twice", path)
	}
	return os.ReadFile(path)
}

// program names this very program: another one may read files otherwise.
func program() string {
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return ""
	}
	st, _ := info.Sys().(*syscall.Stat_t)
	return fmt.Sprint(st.Dev, st.Ino, info.Size(), info.ModTime().UnixNano())
}

// seal is the cipher that a key is for.
func seal(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// project is what was remembered, where all is as it was.
func (m *remembered) project() *types.Project {
	if m.before == nil {
		return nil
	}
	c, err := seal(m.before)
	if err != nil || len(m.sealed) < c.NonceSize() {
		return nil
	}
	text, err := c.Open(nil, m.sealed[:c.NonceSize()], m.sealed[c.NonceSize():], nil)
	if err != nil {
		return nil // something it was made from is not as it was
	}
	p := &types.Project{}
	if exact.Unmarshal(text, p) != nil {
		return nil
	}
	p.Environment = m.environment(p.Name)
	return p
}

// read reads the file where it is the user's own and no link.
func (m *remembered) read() {
	f, err := os.OpenFile(m.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() > maxFile {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return
	}
	var h head
	if line, sealed, ok := bytes.Cut(data, []byte("\n")); ok && json.Unmarshal(line, &h) == nil {
		m.head, m.sealed = h, sealed
	}
}

// environment is what the library gives a project: all variables, and its name.
func (m *remembered) environment(project string) types.Mapping {
	env := maps.Clone(m.env)
	env[consts.ComposeProjectName] = project
	return env
}

// keep remembers a project. Where nobody knew yet which env_files it has, only
// their names are kept: they may have changed since the library read them, and
// the next time the key is made before and after. That nothing can be kept costs
// only time.
func (m *remembered) keep(p *types.Project) {
	if m.before == nil || p.Name == "" || len(p.Jobs)+len(p.DisabledJobs) > 0 {
		return
	}
	var now head
	for _, s := range p.AllServices() {
		for _, f := range s.EnvFiles {
			now.EnvFiles = append(now.EnvFiles, f.Path)
		}
	}
	slices.Sort(now.EnvFiles)
	now.EnvFiles = slices.Compact(now.EnvFiles)
	data, err := json.Marshal(now)
	if err != nil {
		return
	}
	data = append(data, '\n')
	if slices.Equal(now.EnvFiles, m.head.EnvFiles) {
		sealed := m.encrypted(p)
		if sealed == nil {
			return
		}
		data = append(data, sealed...)
	}
	dir := filepath.Dir(m.path)
	if os.MkdirAll(dir, 0o700) == nil && atomicfile.Write(m.path, data, 0o600, atomicfile.Crash) == nil {
		forget(dir)
	}
}

// encrypted is a project as it is kept; nil where it is not the one that the key
// stands for.
func (m *remembered) encrypted(p *types.Project) []byte {
	if !bytes.Equal(m.before, m.key(m.head.EnvFiles)) || !reflect.DeepEqual(p.Environment, m.environment(p.Name)) {
		return nil
	}
	text := whole(p)
	for _, name := range session {
		if bytes.Contains(text, []byte(name)) && !bytes.Contains(m.text, []byte(name)) {
			return nil // its value may be in there, and is not part of the key
		}
	}
	c, err := seal(m.before)
	if err != nil || text == nil {
		return nil
	}
	nonce := make([]byte, c.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	return c.Seal(nonce, nonce, text, nil)
}

// whole is a project as bytes; nil where not just the same comes back from them.
func whole(p *types.Project) []byte {
	own := *p
	own.Environment = nil
	text, err := exact.Marshal(&own)
	if err != nil {
		return nil
	}
	again := &types.Project{}
	if exact.Unmarshal(text, again) != nil || !reflect.DeepEqual(&own, again) {
		return nil
	}
	return text
}

// most is how many projects are remembered.
const most = 64

// forget removes the oldest of what is remembered in dir beyond that.
func forget(dir string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type entry struct {
		path string
		at   int64
	}
	var all []entry
	for _, e := range list {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".project") {
			all = append(all, entry{filepath.Join(dir, e.Name()), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return int(min(1, max(-1, b.at-a.at))) })
	for _, e := range all[min(most, len(all)):] {
		_ = os.Remove(e.path)
	}
}
