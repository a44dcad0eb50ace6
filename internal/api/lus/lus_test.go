package lus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"lus/internal/api/lus"
	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/model/build"
)

type builder func(req *build.Request, progress io.Writer) (string, error)

func (b builder) Build(_ context.Context, req *build.Request, progress io.Writer) (string, error) {
	return b(req, progress)
}

func ask(b builder, method, path, body string) (code int, contentType, answer string) {
	h := lus.New(lus.Deps{Builder: b, Layout: layout.Resolve("/r", "/run/r"), Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Header().Get("Content-Type"), w.Body.String()
}

func TestABuildIsAStreamOfLines(t *testing.T) {
	code, kind, got := ask(func(req *build.Request, progress io.Writer) (string, error) {
		fmt.Fprintf(progress, "#1 %s\n", req.ContextDir)
		fmt.Fprint(progress, "#1 DONE <0s>\n")
		return "sha256:abc", nil
	}, "POST", "/lus/v1/build", `{"contextDir":"/src","tags":["a"]}`)
	want := `{"text":"#1 /src\n"}` + "\n" + `{"text":"#1 DONE <0s>\n"}` + "\n" + `{"image":"sha256:abc"}` + "\n"
	if code != 200 || kind != "application/x-ndjson" || got != want {
		t.Errorf("%d %s\n%s", code, kind, got)
	}
}

func TestABuildsErrorIsTheLastLine(t *testing.T) {
	_, _, got := ask(func(*build.Request, io.Writer) (string, error) {
		return "", errs.New(errs.Invalid, "Dockerfile:1: unknown instruction: FORM")
	}, "POST", "/lus/v1/build", `{"contextDir":"/src"}`)
	if want := fmt.Sprintf(`{"error":"Dockerfile:1: unknown instruction: FORM","kind":%d}`+"\n", errs.Invalid); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAPanicEndsTheBuildOnly(t *testing.T) {
	_, _, got := ask(func(*build.Request, io.Writer) (string, error) { panic("oh") }, "POST", "/lus/v1/build", `{"contextDir":"/src"}`)
	if !strings.Contains(got, "error") || strings.Contains(got, "oh") {
		t.Errorf("got %s", got)
	}
}

func TestStepsMayWriteSideBySide(t *testing.T) {
	_, _, got := ask(func(_ *build.Request, progress io.Writer) (string, error) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { fmt.Fprintf(progress, "#%d\n", i) })
		}
		wg.Wait()
		return "sha256:abc", nil
	}, "POST", "/lus/v1/build", `{"contextDir":"/src"}`)
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 21 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %s", l)
		}
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	never := func(*build.Request, io.Writer) (string, error) { t.Error("it was built"); return "", nil }
	for what, c := range map[string]struct {
		method, path, body string
		code               int
	}{
		"not JSON":             {"POST", "/lus/v1/build", "{", 400},
		"no context":           {"POST", "/lus/v1/build", "{}", 400},
		"two contexts":         {"POST", "/lus/v1/build", `{"contextDir":"/a","remote":"https://x"}`, 400},
		"a relative folder":    {"POST", "/lus/v1/build", `{"contextDir":"../a"}`, 400},
		"a path that is none":  {"GET", "/lus/v1/nonsense", "", 404},
		"another method":       {"GET", "/lus/v1/build", "", 404},
		"more than is allowed": {"POST", "/lus/v1/build", `{"contextDir":"` + strings.Repeat("a", 17<<20) + `"}`, 400},
	} {
		code, kind, body := ask(never, c.method, c.path, c.body)
		if code != c.code || kind != "application/json" || !strings.Contains(body, `"message"`) {
			t.Errorf("%s: %d %s %.100s", what, code, kind, body)
		}
	}
}

func TestInfoTellsWhoRunsWhere(t *testing.T) {
	_, _, body := ask(nil, "GET", "/lus/v1/info", "")
	var i lus.Info
	if err := json.Unmarshal([]byte(body), &i); err != nil {
		t.Fatal(err)
	}
	if i.Pid != os.Getpid() || i.Root != "/r" || i.Run != "/run/r" || i.Socket != "/run/r/lus.sock" || i.Version == "" || i.Instance == "" {
		t.Errorf("%+v", i)
	}
}
