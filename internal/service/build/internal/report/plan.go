package report

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"lus/internal/base/errs"
)

// Plan is a Dockerfile as Docker's classic builder counts it: every
// instruction of every stage is a step.
type Plan struct {
	steps  []planned
	stages []plannedStage
	unused []string        // build arguments that no ARG asks for
	known  map[string]bool // those that an ARG asks for
}

// planned is one step.
type planned struct {
	text  string
	seed  string // what else the step's result depends on
	kind  stepKind
	stage int
	// vertex is the step's place among those of its stage that BuildKit
	// numbers: images, RUN, COPY, ADD and WORKDIR. 0: it is none of them.
	vertex int
	line   int
}

type stepKind uint8

const (
	stepPreamble stepKind = iota // ARG before the first FROM
	stepFrom
	stepRun    // a container's: RUN, WORKDIR
	stepFiles  // COPY, ADD
	stepConfig // all else changes only the image's config
)

// plannedStage is what FROM begins.
type plannedStage struct {
	name     string
	base     string // as FROM names it
	parent   int    // the stage that it continues, or -1
	vertices int
}

// Asked is what a request says that changes the steps.
type Asked struct {
	Target string
	Labels map[string]string
	Args   map[string]*string
}

// External reports whether the Dockerfile names a frontend of its own: what
// its instructions are is not for us to say.
func External(dockerfile []byte) bool {
	_, _, _, ok := parser.DetectSyntax(dockerfile)
	return ok
}

// NewPlan reads a Dockerfile.
func NewPlan(dockerfile []byte, asked Asked) (*Plan, error) {
	ast, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, errs.New(errs.Invalid, "%w", err)
	}
	stages, preamble, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return nil, errs.New(errs.Invalid, "%w", err)
	}
	if len(stages) == 0 {
		return nil, errs.New(errs.Invalid, "the Dockerfile has no FROM: it begins with one")
	}
	known := map[string]bool{}
	p := &Plan{known: known}
	for _, a := range preamble {
		p.add(planned{text: a.String(), line: line(a.Location())})
		declare(known, &a)
	}
	if asked.Target != "" {
		i, ok := instructions.HasStage(stages, asked.Target)
		if !ok {
			return nil, errs.New(errs.Invalid, "failed to reach build target %s in Dockerfile: a stage is named by FROM image AS name", asked.Target)
		}
		stages = stages[:i+1]
	}
	for _, k := range slices.Sorted(maps.Keys(asked.Labels)) {
		stages[len(stages)-1].AddCommand(instructions.NewLabelCommand(k, asked.Labels[k], true))
	}
	for i := range stages {
		p.addStage(stages, i, asked.Args, known)
	}
	for _, k := range slices.Sorted(maps.Keys(asked.Args)) {
		if !known[k] && !predefined(k) {
			p.unused = append(p.unused, k)
		}
	}
	return p, nil
}

func (p *Plan) add(s planned) { p.steps = append(p.steps, s) }

func (p *Plan) addStage(all []instructions.Stage, i int, args map[string]*string, known map[string]bool) {
	st := &all[i]
	out := plannedStage{name: st.Name, base: st.BaseName, parent: -1}
	if out.name == "" {
		out.name = fmt.Sprintf("stage-%d", i)
	}
	if j, ok := instructions.HasStage(all[:i], st.BaseName); ok {
		out.parent = j
	}
	from := planned{text: st.SourceCode, kind: stepFrom, stage: i, line: line(st.Location)}
	if out.parent < 0 && !out.empty() {
		out.vertices++
		from.vertex = out.vertices
	}
	p.add(from)
	for _, c := range st.Commands {
		s := planned{text: fmt.Sprint(c), kind: kindOf(c), stage: i, line: line(c.Location())}
		if s.kind == stepRun || s.kind == stepFiles {
			out.vertices++
			s.vertex = out.vertices
		}
		if a, ok := c.(*instructions.ArgCommand); ok {
			declare(known, a)
			for _, kv := range a.Args {
				if v := args[kv.Key]; v != nil {
					s.seed += kv.Key + "=" + *v + "\n"
				}
			}
		}
		p.add(s)
	}
	p.stages = append(p.stages, out)
}

// empty reports whether the stage begins with nothing.
func (s *plannedStage) empty() bool { return s.base == "scratch" }

func kindOf(c instructions.Command) stepKind {
	switch c.(type) {
	case *instructions.RunCommand, *instructions.WorkdirCommand:
		return stepRun
	case *instructions.CopyCommand, *instructions.AddCommand:
		return stepFiles
	}
	return stepConfig
}

func declare(known map[string]bool, a *instructions.ArgCommand) {
	for _, kv := range a.Args {
		known[kv.Key] = true
	}
}

// predefined tells the arguments that need no ARG.
func predefined(key string) bool {
	switch strings.ToUpper(key) {
	case "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH":
		return true
	}
	return strings.HasPrefix(key, "BUILDKIT_")
}

func line(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

// stageOf finds a stage by the name that BuildKit prints; where there is only
// one, it prints none.
func (p *Plan) stageOf(name string) (int, bool) {
	if name == "" {
		return 0, len(p.stages) > 0
	}
	for i := range p.stages {
		if strings.EqualFold(p.stages[i].name, name) {
			return i, true
		}
	}
	return 0, false
}

// at finds the step on a line of the Dockerfile, -1 where there is none.
func (p *Plan) at(line int) int {
	return slices.IndexFunc(p.steps, func(s planned) bool { return s.line == line })
}
