package scenarios

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/base/ids"
	"lus/test/stack"
)

// A build's secret is its steps' alone: no user of the host reads it meanwhile,
// not even the one that has the number of the step's, and it goes with a daemon
// that is killed.
func TestABuildsSecretIsItsStepsAlone(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // it is killed
	// Nor do agents leave anything behind.
	agent := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", agent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.OK(t, "build", "--ssh", "default="+agent, stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=ssh,uid=65534 test -S $SSH_AUTH_SOCK\n"}))
	if left, err := os.ReadDir(s.Temp()); err != nil || len(left) > 0 {
		t.Errorf("a build left %v (%v)", left, err)
	}

	secret := "hush-" + ids.New()
	dir := stack.Folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=k,uid=65534,mode=0444 sleep 1000\n", "k": secret,
	})
	ended := make(chan stack.Result, 1)
	go func() { ended <- s.Lus("build", "--secret", "id=k,src="+filepath.Join(dir, "k"), dir) }()
	stack.Eventually(t, "the secret is there for the step", func() bool { return len(mounted(secret)) > 0 })
	for _, path := range mounted(secret) {
		if nobody("cat", path) == nil {
			t.Errorf("any user of the host reads %s", path)
		}
	}
	s.Kill()
	<-ended
	s.StartDaemon(t)
	s.OK(t, "ps") // it answers once all is as it should be
	if left := mounted(secret); len(left) > 0 {
		t.Errorf("the secret is still on the host, as %s", left)
	}
}

// mounted are the files with this content that BuildKit has mounted for steps,
// once they have the mode that the step asks for.
func mounted(secret string) (paths []string) {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		at := strings.Fields(line)[4]
		if !strings.HasPrefix(filepath.Base(at), "buildkit-secrets") {
			continue
		}
		files, _ := os.ReadDir(at) // it may have gone
		for _, f := range files {
			path := filepath.Join(at, f.Name())
			st, err := os.Stat(path)
			if text, _ := os.ReadFile(path); err == nil && st.Mode().Perm() == 0o444 && string(text) == secret {
				paths = append(paths, path)
			}
		}
	}
	return paths
}
