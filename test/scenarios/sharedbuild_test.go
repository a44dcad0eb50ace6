package scenarios

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"lus/test/stack"
)

// Builds of equal files at the same time do what is equal in them once and make one
// image, whatever they call it, whoever asks and wherever the files lie.
func TestEqualBuildsAtOnceShareWhatTheyMake(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	var asked atomic.Int32
	goOn := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	files := map[string]string{
		"Dockerfile": "FROM " + stack.Busybox + "\nARG URL\nCOPY before /\nRUN wget -q -O /answer $URL && cat /proc/sys/kernel/random/uuid >/made\nCOPY after /\nCMD [\"cat\", \"/made\"]\n",
		"before":     noise(t, 1000), "after": noise(t, 1000),
	}
	one, other := stack.Folder(t, files), stack.Folder(t, files)
	names := []string{"one", "two", "three"}
	lus, docker := filepath.Join(s.Bin, "lus"), dockerClient(t)
	args := []string{"build", "--network", "host", "--build-arg", "URL=" + srv.URL, "-t"}
	ends := make(chan stack.Result, 4)
	begun := func(program, name, dir string) {
		go func() { ends <- s.Do(nil, program, append(args, name, dir)...) }()
	}
	begun(lus, names[0], one)
	stack.Eventually(t, "a step runs", func() bool { return asked.Load() > 0 })
	before := s.Clients()
	begun(lus, names[0], one) // the same again
	begun(lus, names[1], other)
	begun(docker, names[2], one)
	stack.Eventually(t, "the others are under way", func() bool { return s.Clients() >= before+2 })
	close(goOn)
	for range cap(ends) {
		(<-ends).Want(t, 0)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the step ran %d times", n)
	}
	id := s.OK(t, "image", "inspect", "-f", "{{.Id}}", names[0])
	for _, name := range names[1:] {
		if got := s.OK(t, "image", "inspect", "-f", "{{.Id}}", name); got != id {
			t.Errorf("%s is %s, %s is %s", names[0], id, name, got)
		}
	}
}
