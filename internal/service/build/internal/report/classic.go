package report

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// Classic tells how a build goes in the words of Docker's builder before
// BuildKit, which programs read: "Step 2/4 : RUN make", " ---> Using cache",
// " ---> 0123456789ab". It tells the steps in the Dockerfile's order, whatever
// order they run in: what a later step says waits for its turn.
type Classic struct {
	o      ClassicOptions
	plan   *Plan
	found  []map[int]*vertex // of each stage, by BuildKit's number
	byID   map[digest.Digest]*vertex
	cur    int    // the step whose turn it is
	headed bool   // its first line is out
	told   bool   // the last step has nothing more to say but its id
	parent string // the id of what it stands on
	ends   []string
	begun  bool // some step began: then all that will run are known
	failed *vertex
}

// ClassicOptions are what a Classic needs to know.
type ClassicOptions struct {
	Out     io.Writer // gets one line, or one piece of a step's output, at a time
	Build   string    // this build's own name among all builds
	NoCache bool
	Known   *Known
	// BaseID is the id of the local image of this name, empty for none.
	BaseID func(name string) string
}

// vertex is a step as BuildKit runs it.
type vertex struct {
	stage, number          int
	text                   string
	onbuild                bool
	started, ended, cached bool
	said                   bool // "Running in" is out
	output                 []*client.VertexLog
}

func (v *vertex) begun() bool { return v != nil && (v.started || v.ended || v.cached) }

// NewClassic returns a Classic for one build.
func NewClassic(p *Plan, o ClassicOptions) *Classic {
	c := &Classic{o: o, plan: p, byID: map[digest.Digest]*vertex{}, ends: make([]string, len(p.stages))}
	for range p.stages {
		c.found = append(c.found, map[int]*vertex{})
	}
	return c
}

// Status takes the news in the order in which it happened.
func (c *Classic) Status(st *client.SolveStatus) {
	for _, v := range st.Vertexes {
		c.note(v)
	}
	for _, l := range st.Logs {
		if v := c.byID[l.Vertex]; v != nil {
			v.output = append(v.output, l)
		}
	}
	c.advance(false)
}

func (c *Classic) note(n *client.Vertex) {
	v := c.byID[n.Digest]
	if v == nil {
		if v = c.place(n.Name); v == nil {
			return
		}
		c.byID[n.Digest] = v
		c.found[v.stage][v.number] = v
	}
	v.started = v.started || n.Started != nil
	v.cached = v.cached || n.Cached
	if n.Error != "" {
		if !strings.Contains(n.Error, context.Canceled.Error()) {
			c.failed = v
		}
		return
	}
	v.ended = v.ended || n.Completed != nil
	c.begun = c.begun || v.begun()
}

// place reads a vertex's name, as in "[web 2/4] RUN make" or "[2/4] COPY a b".
func (c *Classic) place(name string) *vertex {
	inner, text, ok := strings.Cut(strings.TrimPrefix(name, "["), "] ")
	if !ok || !strings.HasPrefix(name, "[") {
		return nil
	}
	numbers := inner[strings.LastIndexByte(inner, ' ')+1:]
	stageName := strings.TrimSpace(strings.TrimSuffix(inner, numbers))
	first, _, ok := strings.Cut(numbers, "/")
	number, err := strconv.Atoi(first)
	if !ok || err != nil {
		return nil
	}
	stage, ok := c.plan.stageOf(stageName)
	if !ok {
		return nil
	}
	return &vertex{stage: stage, number: number, text: text, onbuild: strings.HasPrefix(text, "ONBUILD ")}
}

// triggers are the steps that a base image's ONBUILD adds, which BuildKit
// numbers between FROM and the stage's own.
func (c *Classic) triggers(stage int) (list []*vertex) {
	for n := 1; n <= len(c.found[stage]); n++ {
		if v := c.found[stage][n]; v != nil && v.onbuild {
			list = append(list, v)
		}
	}
	return list
}

// of is the step's vertex, nil while BuildKit has not named it.
func (c *Classic) of(s *planned) *vertex {
	switch {
	case s.vertex == 0:
		return nil
	case s.kind == stepFrom:
		return c.found[s.stage][s.vertex]
	}
	return c.found[s.stage][s.vertex+len(c.triggers(s.stage))]
}

// after reports whether a later step of the stage began: what stands before it
// is done, if not now, then in an earlier build.
func (c *Classic) after(i int) bool { return c.next(i).begun() }

// next is the next vertex of the step's stage that began, or else the next.
func (c *Classic) next(i int) (next *vertex) {
	for j := i + 1; j < len(c.plan.steps) && c.plan.steps[j].stage == c.plan.steps[i].stage; j++ {
		v := c.of(&c.plan.steps[j])
		if v.begun() {
			return v
		}
		if next == nil {
			next = v
		}
	}
	return next
}

// skipped reports whether the result does not need the stage.
func (c *Classic) skipped(stage int) bool {
	return c.begun && c.plan.stages[stage].vertices > 0 && len(c.found[stage]) == 0
}

// advance tells all that can be told in order. At the end whatever did not
// begin was there already.
func (c *Classic) advance(end bool) {
	for !c.told {
		s := &c.plan.steps[c.cur]
		c.head(s)
		if !c.tell(s, end) {
			return
		}
		if c.told = c.cur == len(c.plan.steps)-1; !c.told {
			c.shift(s)
		}
	}
}

func (c *Classic) shift(s *planned) {
	c.ends[min(s.stage, len(c.ends)-1)] = c.parent
	c.cur++
	c.headed = false
}

func (c *Classic) head(s *planned) {
	if !c.headed {
		c.headed = true
		c.printf("Step %d/%d : %s\n", c.cur+1, len(c.plan.steps), s.text)
	}
}

// tell says what there is to say of the step whose turn it is, and whether that
// is all.
func (c *Classic) tell(s *planned, end bool) bool {
	switch {
	case s.kind == stepPreamble:
		return true
	case c.skipped(s.stage):
		c.printf(" ---> Skipped, as nothing that is built needs this stage\n")
		return true
	case s.kind == stepFrom:
		return c.from(s, end)
	case s.kind == stepConfig:
		return c.config(s, end)
	}
	return c.work(s, end)
}

func (c *Classic) from(s *planned, end bool) bool {
	st := c.plan.stages[s.stage]
	v := c.of(s)
	switch {
	case st.parent >= 0:
		c.parent = c.ends[st.parent]
	case s.vertex == 0:
		c.parent = ""
	case v == nil || !v.ended && !v.cached && !c.after(c.cur):
		if !end {
			return false
		}
		c.parent = c.base(st.base)
	default:
		c.parent = c.base(strings.TrimPrefix(v.text, "FROM "))
	}
	c.trigger(s.stage)
	c.id()
	return true
}

// trigger tells of the steps that the base image brings along.
func (c *Classic) trigger(stage int) {
	list := c.triggers(stage)
	if len(list) == 0 {
		return
	}
	noun := "triggers"
	if len(list) == 1 {
		noun = "trigger"
	}
	c.printf("# Executing %d build %s\n", len(list), noun)
}

// base is the id of the image that a stage stands on. One that is only in the
// cache has none here, and gets one from its name.
func (c *Classic) base(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if c.o.BaseID != nil {
		if id := c.o.BaseID(name); id != "" {
			return strings.TrimPrefix(id, "sha256:")
		}
	}
	return hash("image", name)
}

// config tells of a step that changes only the image's config. BuildKit does
// all of these together at the end; whether the classic builder would have
// found one in its cache is seen from the step after it, or from what this
// daemon built before.
func (c *Classic) config(s *planned, end bool) bool {
	key := c.key(s)
	next := c.next(c.cur)
	known, before := c.o.Known.get(key)
	cached := before || next.begun() && next.cached || end && next != nil && !next.begun()
	switch {
	case cached && !c.o.NoCache:
		c.printf(" ---> Using cache\n")
		c.settle(key, cmp.Or(known, key))
	case next.begun() || end || next == nil && c.planned(s.stage):
		c.runs(key)
		c.removed(key)
		c.settle(key, hash(key, c.o.Build))
	default:
		return false
	}
	return true
}

// planned reports whether all of a stage's vertices are named, so that one that
// is missing stays missing.
func (c *Classic) planned(stage int) bool { return c.begun || c.plan.stages[stage].vertices == 0 }

// work tells of a step that makes a layer.
func (c *Classic) work(s *planned, end bool) bool {
	key := c.key(s)
	v := c.of(s)
	if v.begun() && !v.cached {
		if s.kind == stepRun && !v.said {
			v.said = true
			c.runs(key)
		}
		c.output(v)
		if !v.ended && !end {
			return false
		}
		if s.kind == stepRun {
			c.removed(key)
		}
		c.settle(key, hash(key, c.o.Build))
		return true
	}
	if !v.begun() && !c.after(c.cur) && !end {
		return false
	}
	known, _ := c.o.Known.get(key)
	c.printf(" ---> Using cache\n")
	c.settle(key, cmp.Or(known, key))
	return true
}

// key names the step by all that comes before it. BuildKit makes no image per
// step as the classic builder did, so the ids that are told of steps stand for
// nothing but the step itself: they are made of its key, and are the same
// again when the step comes from the cache.
func (c *Classic) key(s *planned) string { return hash(c.parent, s.text, s.seed) }

// settle notes a step's result. The last step's is the image, whose id comes
// when it is there.
func (c *Classic) settle(key, id string) {
	c.o.Known.put(key, id)
	c.parent = id
	if c.cur < len(c.plan.steps)-1 {
		c.id()
	}
}

func (c *Classic) runs(key string) {
	c.printf(" ---> Running in %s\n", short(hash("container", key, c.o.Build)))
}

func (c *Classic) removed(key string) {
	c.printf(" ---> Removed intermediate container %s\n", short(hash("container", key, c.o.Build)))
}

func (c *Classic) id() { c.printf(" ---> %s\n", short(c.parent)) }

// output sends what a step printed; what it printed as an error is red, as the
// classic builder made it.
func (c *Classic) output(v *vertex) {
	for _, l := range v.output {
		if l.Stream == 2 {
			c.printf("\x1b[91m%s\x1b[0m", l.Data)
			continue
		}
		c.printf("%s", l.Data)
	}
	v.output = nil
}

func (c *Classic) printf(format string, args ...any) { fmt.Fprintf(c.o.Out, format, args...) }

// Done tells the rest of a build that gave this image.
func (c *Classic) Done(imageID string) {
	c.advance(true)
	if s := c.plan.steps[len(c.plan.steps)-1]; s.kind != stepFrom {
		c.parent = strings.TrimPrefix(imageID, "sha256:")
		c.id()
	}
	if len(c.plan.unused) > 0 {
		c.printf("[Warning] One or more build-args %v were not consumed\n", c.plan.unused)
	}
}

// Failed tells the steps up to the one that failed, those before it as far as
// they came.
func (c *Classic) Failed(err error) {
	last := -1
	if src := source(err); src != nil {
		last = c.plan.at(int(src.Ranges[0].Start.Line))
	}
	for i := range c.plan.steps {
		if v := c.of(&c.plan.steps[i]); last < 0 && v != nil && v == c.failed {
			last = i
		}
	}
	for !c.told {
		s := &c.plan.steps[c.cur]
		c.head(s)
		c.tell(s, false)
		if c.cur >= last {
			return
		}
		c.shift(s)
	}
}

func short(id string) string { return id[:min(len(id), 12)] }

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
