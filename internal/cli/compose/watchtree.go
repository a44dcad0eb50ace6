package compose

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
	"github.com/moby/patternmatcher"

	"lus/internal/base/errs"
	"lus/internal/composefile"
)

// matcher says which files a rule is for.
type matcher struct {
	path    string
	ignore  *patternmatcher.PatternMatcher
	include *patternmatcher.PatternMatcher // nil: all
}

// newMatcher reads a rule's patterns, those of .dockerignore included: what a
// build would not see is not followed.
func newMatcher(rule composefile.Watch) (*matcher, error) {
	patterns := append([]string{"**/.git", "**/*~", "**/.*.sw?", "**/.#*", "**/#*#", "**/4913"}, rule.Ignore...)
	if b := rule.Build; b != nil && inside(b.Folder, rule.Path) {
		for _, line := range dockerignore(b) {
			patterns = append(patterns, rebased(line, b.Folder, rule.Path)...)
		}
	}
	m := &matcher{path: rule.Path}
	var err error
	if m.ignore, err = patternmatcher.New(patterns); err != nil {
		return nil, errs.New(errs.Invalid, "ignore: %w", err)
	}
	if len(rule.Include) > 0 {
		if m.include, err = patternmatcher.New(rule.Include); err != nil {
			return nil, errs.New(errs.Invalid, "include: %w", err)
		}
	}
	return m, nil
}

func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsAbs(dir) && rel != ".." && !strings.HasPrefix(rel, "../")
}

// dockerignore are the patterns beside a build's Dockerfile.
func dockerignore(b *composefile.Context) []string {
	for _, name := range []string{b.Dockerfile + ".dockerignore", ".dockerignore"} {
		file, err := os.Open(filepath.Join(b.Folder, name))
		if err != nil {
			continue
		}
		defer file.Close()
		var out []string
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
				out = append(out, line)
			}
		}
		return out
	}
	return nil
}

// rebased turns a pattern that starts from a build's context into one that starts
// from a folder in it; none where it speaks of another.
func rebased(pattern, context, path string) []string {
	negated := strings.HasPrefix(pattern, "!")
	pattern = strings.TrimPrefix(filepath.Clean(strings.TrimPrefix(pattern, "!")), "/")
	rel, err := filepath.Rel(context, path)
	if err != nil {
		return nil
	}
	if rel != "." && !strings.HasPrefix(pattern, "**") {
		var ok bool
		if pattern, ok = strings.CutPrefix(pattern, rel+"/"); !ok {
			return nil
		}
	}
	if negated {
		pattern = "!" + pattern
	}
	return []string{pattern}
}

// wants says whether the rule is for a path, and where that is below the rule's.
func (m *matcher) wants(path string) (rel string, ok bool) {
	if !inside(m.path, path) {
		return "", false
	}
	rel, err := filepath.Rel(m.path, path)
	if err != nil {
		return "", false
	}
	if rel == "." {
		return rel, true
	}
	if ignored, err := m.ignore.MatchesOrParentMatches(rel); err != nil || ignored {
		return "", false
	}
	if m.include != nil {
		included, err := m.include.MatchesOrParentMatches(rel)
		return rel, err == nil && included
	}
	return rel, true
}

// everything are all files of a rule, by where they go in the container.
func (t trigger) everything() (map[string]string, error) {
	d := &demand{sync: map[string]string{}}
	err := filepath.WalkDir(t.Path, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != t.Path {
			return nil // it went meanwhile
		}
		if err != nil {
			return err
		}
		rel, ok := t.match.wants(path)
		switch {
		case !ok && e.IsDir() && t.match.include == nil:
			return filepath.SkipDir
		case ok && !e.IsDir():
			d.add(t.Watch, path, rel)
		}
		return nil
	})
	return d.sync, err
}

// sourceTree hears of changes below the folders of the rules.
type sourceTree struct {
	w        *fsnotify.Watcher
	triggers []trigger
	roots    []root
}

// root is a folder of a rule; deep: those in it are followed too.
type root struct {
	folder string
	deep   bool
}

func watchTree(triggers []trigger) (*sourceTree, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, errs.New(errs.Unavailable, "cannot follow changes of files: %w", err)
	}
	t := &sourceTree{w: w, triggers: triggers}
	for _, trigger := range triggers {
		info, err := os.Stat(trigger.Path)
		if err != nil {
			t.close()
			return nil, errs.New(errs.Invalid, "services.%s.develop.watch: %w", trigger.Service, err)
		}
		folder := trigger.Path
		if !info.IsDir() {
			folder = filepath.Dir(folder) // an editor replaces a file
		}
		t.roots = append(t.roots, root{folder, info.IsDir()})
		if err := t.add(folder, info.IsDir(), nil); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

func (t *sourceTree) close()                        { _ = t.w.Close() }
func (t *sourceTree) events() <-chan fsnotify.Event { return t.w.Events }
func (t *sourceTree) errors() <-chan error          { return t.w.Errors }

// add follows a folder and those in it, and tells found of the files there.
func (t *sourceTree) add(folder string, deep bool, found func(string)) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone again
		case err != nil:
			return err
		case !e.IsDir():
			if found != nil {
				found(path)
			}
			return nil
		case path != folder && (!deep || e.Name() == ".git" || !t.cares(path)):
			return filepath.SkipDir
		}
		if err := t.w.Add(path); err != nil {
			return errs.New(errs.Unavailable, "cannot follow changes below %s: %w (fs.inotify.max_user_watches bounds how many folders can be followed: name fewer, or ignore some)", path, err)
		}
		return nil
	})
}

// cares says that some rule may be for files in a folder.
func (t *sourceTree) cares(folder string) bool {
	return slices.ContainsFunc(t.triggers, func(tr trigger) bool {
		if inside(folder, tr.Path) {
			return true
		}
		rel, err := filepath.Rel(tr.Path, folder)
		if err != nil || !inside(tr.Path, folder) {
			return false
		}
		ignored, err := tr.match.ignore.MatchesOrParentMatches(rel)
		return err != nil || !ignored
	})
}

// seen are the files that an event speaks of. A new folder is followed from now
// on, and what came into it meanwhile is new too.
func (t *sourceTree) seen(e fsnotify.Event) []string {
	if e.Op == fsnotify.Chmod {
		return nil
	}
	info, err := os.Lstat(e.Name)
	if err != nil || !info.IsDir() {
		return []string{e.Name}
	}
	var out []string
	if e.Has(fsnotify.Create) && t.cares(e.Name) {
		_ = t.add(e.Name, true, func(path string) { out = append(out, path) })
	}
	return out
}

// lost are the files that an error leaves in doubt: all, where there were more
// changes than the kernel keeps. Other errors come back.
func (t *sourceTree) lost(err error) (paths []string, _ error) {
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		return nil, err
	}
	for _, r := range t.roots {
		if err := t.add(r.folder, r.deep, func(path string) { paths = append(paths, path) }); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
