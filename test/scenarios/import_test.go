package scenarios

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"lus/test/stack"
)

func TestImportFromURL(t *testing.T) {
	t.Parallel()
	s := shared(t)
	tar, err := stack.Tar(stack.Busybox)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/rootfs.tar" {
			http.NotFound(w, r)
			return
		}
		http.ServeFile(w, r, tar)
	}))
	t.Cleanup(server.Close)
	docker := dockerClient(t)
	clients := map[string]func(...string) stack.Result{
		"lus":    s.Lus,
		"docker": func(args ...string) stack.Result { return s.Do(nil, docker, args...) },
	}
	for name, client := range clients {
		image := tagged(t, s, "url-"+name)
		client("import", "--change", "ENV PATH=/bin", server.URL+"/rootfs.tar", image).Want(t, 0)
		if got := s.OK(t, "run", "--rm", image, "echo", "here"); got != "here" {
			t.Errorf("%s: the imported image says %q", name, got)
		}
		stack.Says(t, s.OK(t, "history", "--no-trunc", image), "Imported from "+server.URL)
		r := client("import", server.URL+"/none.tar", image)
		if r.Code == 0 {
			t.Errorf("%s: an import of what is not there worked", name)
		}
		stack.Says(t, r.All(), "404")
	}
}
