package compose

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"lus/internal/model/compose"
)

// caller is who asks, as others will read it.
func caller() compose.Caller {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	args := os.Args
	if len(args) > 0 {
		args = append([]string{"lus", "compose"}, args[1:]...)
	}
	return compose.Caller{Pid: os.Getpid(), User: name, Command: clip(strings.Join(args, " "), 200)}
}

func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// describe tells the daemon from which state of a repository a deployment was
// made. It asks git as the user, while the deployment is under way, and only
// where there is one: an up that changes nothing does not wait for it.
func (a *app) describe(ctx context.Context, id int64, dir string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	src := source(ctx, dir)
	if src == nil {
		return
	}
	body, err := a.daemon.Do(ctx, "POST", fmt.Sprintf("/lus/v1/compose/deployments/%d/source", id), src)
	if err != nil {
		fmt.Fprintln(a.Err, "warning: the commit of deployment "+strconv.FormatInt(id, 10)+" was not recorded: "+err.Error())
		return
	}
	_ = body.Close()
}

// source is the state of the repository around dir; nil where there is none.
func source(ctx context.Context, dir string) *compose.Source {
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
		// Looking must not write, nor wait for anybody.
		cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
		out, err := cmd.Output()
		return strings.TrimRight(string(out), "\n"), err
	}
	status, err := git("status", "--porcelain", "--branch", "--untracked-files=normal", "--", ".")
	if err != nil {
		return nil
	}
	src := &compose.Source{}
	for line := range strings.Lines(status) {
		line = strings.TrimRight(line, "\n")
		if branch, ok := strings.CutPrefix(line, "## "); ok {
			branch, _, _ = strings.Cut(strings.TrimPrefix(branch, "No commits yet on "), "...")
			if !strings.HasPrefix(branch, "HEAD (") {
				src.Branch = branch
			}
			continue
		}
		if len(src.Dirty) < compose.MaxDirty {
			src.Dirty = append(src.Dirty, line)
		}
	}
	if head, err := git("log", "-1", "--format=%H %s"); err == nil {
		src.Commit, src.Subject, _ = strings.Cut(clip(head, 300), " ")
	}
	return src
}
