package build_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"lus/internal/model/build"
)

// classic builds as a client without BuildKit asks for it.
func classic(q *build.Request) { q.Classic = true }

// shape is a build's output with every id written as ID.
func shape(output string) string {
	return regexp.MustCompile(`\b[0-9a-f]{12}\b`).ReplaceAllString(output, "ID")
}

func wantShape(t *testing.T, r built, lines ...string) {
	t.Helper()
	if got, want := shape(r.output), strings.Join(lines, "\n")+"\n"; got != want {
		t.Errorf("the build said\n%s\nwant\n%s", got, want)
	}
}

const running, removed, id, cached = " ---> Running in ID", " ---> Removed intermediate container ID", " ---> ID", " ---> Using cache"

// S51
func TestTheClassicBuildersWords(t *testing.T) {
	b := newBuilder(t)
	files := map[string]string{"f": "text"}
	const text = "ARG BASE=busybox\nFROM $BASE\nENV A=b\nRUN echo made $A > /made; echo printed\nCOPY f /f\nWORKDIR /w\nCMD [\"cat\", \"/made\"]\n"
	first := b.file(text, files, classic).ok(t)
	wantShape(t, first,
		"Step 1/7 : ARG BASE=busybox",
		"Step 2/7 : FROM $BASE", id,
		"Step 3/7 : ENV A=b", running, removed, id,
		"Step 4/7 : RUN echo made $A > /made; echo printed", running, "printed", removed, id,
		"Step 5/7 : COPY f /f", id,
		"Step 6/7 : WORKDIR /w", running, removed, id,
		`Step 7/7 : CMD ["cat", "/made"]`, running, removed, id)
	if want := " ---> " + strings.TrimPrefix(first.id, "sha256:")[:12]; !strings.HasSuffix(first.output, want+"\n") {
		t.Errorf("the last step does not end in%s:\n%s", want, first.output)
	}
	again := b.file(text, files, classic).ok(t)
	wantShape(t, again,
		"Step 1/7 : ARG BASE=busybox",
		"Step 2/7 : FROM $BASE", id,
		"Step 3/7 : ENV A=b", cached, id,
		"Step 4/7 : RUN echo made $A > /made; echo printed", cached, id,
		"Step 5/7 : COPY f /f", cached, id,
		"Step 6/7 : WORKDIR /w", cached, id,
		`Step 7/7 : CMD ["cat", "/made"]`, cached, id)
	if a, b := results(first), results(again); a != b {
		t.Errorf("the same steps have other ids when they come from the cache:\n%s\n%s", a, b)
	}
	changed := b.file(text, map[string]string{"f": "other"}, classic).ok(t)
	if got := strings.Count(changed.output, cached); got != 2 {
		t.Errorf("with another file %d steps came from the cache, want ENV and RUN:\n%s", got, changed.output)
	}
	anew := b.file(text, files, classic, func(q *build.Request) { q.NoCache = true }).ok(t)
	if strings.Contains(anew.output, cached) {
		t.Errorf("a build without cache used it:\n%s", anew.output)
	}
}

// results are the ids of the steps that a build told.
func results(r built) string {
	return strings.Join(regexp.MustCompile(`(?m)^ ---> [0-9a-f]{12}$`).FindAllString(r.output, -1), "")
}

// The id that a base image has is that of the image; another daemon's cache is
// of no use to a builder that was only just opened.
func TestTheClassicBuildersBaseIsTheImage(t *testing.T) {
	b := newBuilder(t)
	base := b.file("FROM busybox\nRUN echo 1 > /one\n", nil).ok(t)
	next := b.file("FROM app\nRUN echo 2 > /two\n", nil, classic, func(q *build.Request) { q.Tags = []string{"next"} }).ok(t)
	if want := "Step 1/2 : FROM app\n ---> " + strings.TrimPrefix(base.id, "sha256:")[:12] + "\n"; !strings.HasPrefix(next.output, want) {
		t.Errorf("the build said\n%s\nwant it to begin with\n%s", next.output, want)
	}
}

func TestClassicStages(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox AS unused\nRUN echo never\nFROM busybox AS make\nRUN echo made > /made\nFROM make AS more\nRUN cat /made\nFROM scratch\nCOPY --from=more /made /\n",
		nil, classic, func(q *build.Request) { q.Labels = map[string]string{"a": "b"} }).ok(t)
	const skipped = " ---> Skipped, as nothing that is built needs this stage"
	wantShape(t, r,
		"Step 1/9 : FROM busybox AS unused", skipped,
		"Step 2/9 : RUN echo never", skipped,
		"Step 3/9 : FROM busybox AS make", id,
		"Step 4/9 : RUN echo made > /made", running, removed, id,
		"Step 5/9 : FROM make AS more", id,
		"Step 6/9 : RUN cat /made", running, "made", removed, id,
		"Step 7/9 : FROM scratch", " ---> ",
		"Step 8/9 : COPY --from=more /made /", id,
		"Step 9/9 : LABEL a=b", running, removed, id)
	target := b.file("FROM busybox AS one\nRUN echo one\nFROM one\nRUN echo two\n", nil, classic,
		func(q *build.Request) { q.Target = "one" }).ok(t)
	wantShape(t, target, "Step 1/2 : FROM busybox AS one", id, "Step 2/2 : RUN echo one", running, "one", removed, id)
}

func TestClassicTriggers(t *testing.T) {
	b := newBuilder(t)
	b.file("FROM busybox\nONBUILD RUN echo trigger > /t\n", nil).ok(t)
	r := b.file("FROM app\nRUN cat /t\n", nil, classic, func(q *build.Request) { q.Tags = []string{"child"} }).ok(t)
	wantShape(t, r, "Step 1/2 : FROM app", "# Executing 1 build trigger", id, "Step 2/2 : RUN cat /t", running, "trigger", removed, id)
}

func TestClassicFaults(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nRUN true\nRUN echo seen; exit 3\nRUN true\n", nil, classic)
	var exit *build.ExitError
	if !errors.As(r.err, &exit) || exit.Code != 3 || r.err.Error() != "The command '/bin/sh -c echo seen; exit 3' returned a non-zero code: 3" {
		t.Errorf("the error is %v", r.err)
	}
	wantShape(t, r, "Step 1/4 : FROM busybox", id, "Step 2/4 : RUN true", running, removed, id,
		"Step 3/4 : RUN echo seen; exit 3", running, "seen")

	r = b.file("FROM busybox\nRUN true\nCOPY nosuch /x\n", nil, classic)
	wantInvalid(t, r.err, "COPY failed: file not found in build context or excluded by .dockerignore: stat nosuch: file does not exist")
	if !strings.Contains(r.output, "Step 3/3 : COPY nosuch /x\n") {
		t.Errorf("the build said\n%s", r.output)
	}
	r = b.file("FROM busybox\nFORM x\n", nil, classic)
	wantInvalid(t, r.err, "dockerfile parse error on line 2: unknown instruction: FORM")
	if r.output != "" {
		t.Errorf("before the fault was found the build said\n%s", r.output)
	}
	wantInvalid(t, b.file("FROM busybox\n", nil, classic, func(q *build.Request) { q.Target = "x" }).err, "failed to reach build target x")
	wantInvalid(t, b.file("", nil, classic).err, "file with no instructions")
}

// Stages are built side by side and told one after the other: the step that
// failed is told last, those before it as far as they came.
func TestAClassicFaultBesideASlowStage(t *testing.T) {
	b := newBuilder(t)
	const slow = "RUN --mount=type=cache,target=/c,id=beside echo begun; touch /c/begun; sleep 600"
	const bad = "RUN --mount=type=cache,target=/c,id=beside until [ -e /c/begun ]; do sleep 0.01; done; echo seen; exit 3"
	r := b.file("FROM busybox AS slow\n"+slow+"\nRUN true\nFROM busybox AS bad\n"+bad+"\nFROM slow\nCOPY --from=bad /x /x\n", nil, classic)
	var exit *build.ExitError
	if !errors.As(r.err, &exit) || exit.Code != 3 {
		t.Errorf("the error is %v", r.err)
	}
	out := shape(r.output)
	for _, want := range []string{"Step 1/7 : FROM busybox AS slow\n", "\nStep 2/7 : " + slow + "\n" + running + "\nbegun\n", "\nStep 3/7 : RUN true\n", "\nStep 4/7 : FROM busybox AS bad\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, cached) {
		t.Errorf("steps that never ran are said to come from the cache:\n%s", out)
	}
	if want := "\nStep 5/7 : " + bad + "\n" + running + "\nseen\n"; !strings.HasSuffix(out, want) {
		t.Errorf("the build said\n%s\nwant it to end in\n%s", out, want)
	}
}

func TestClassicBuildArguments(t *testing.T) {
	b := newBuilder(t)
	value := "v"
	args := func(q *build.Request) {
		q.Args = map[string]*string{"B": &value, "A": &value, "USED": &value, "http_proxy": &value}
	}
	r := b.file("FROM busybox\nARG USED\nRUN echo $USED\nRUN echo bad >&2\n", nil, classic, args).ok(t)
	wantShape(t, r, "Step 1/4 : FROM busybox", id, "Step 2/4 : ARG USED", running, removed, id,
		"Step 3/4 : RUN echo $USED", running, "v", removed, id,
		"Step 4/4 : RUN echo bad >&2", running, "\x1b[91mbad", "\x1b[0m"+removed, id,
		"[Warning] One or more build-args [A B] were not consumed")
}
