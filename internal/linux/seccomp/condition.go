package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// label is where a jump inside a rule leads.
type label uint8

const (
	here label = iota // to the instruction after it
	next              // to the rule's next condition, or its action after the last
	fail              // past the rule
)

// step is an instruction of a condition whose jumps are not yet counted.
type step struct {
	unix.SockFilter
	yes, no label
}

func word(offset uint32) step { return step{SockFilter: load(offset)} }

func test(op uint16, k uint32, yes, no label) step {
	return step{jump(op, k, 0, 0), yes, no}
}

func and(mask uint32) step {
	return step{SockFilter: unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}}
}

// conditional writes the rules of one call, each falling through to the next.
func (a arch) conditional(c *call) (code, error) {
	var out code
	for _, r := range c.rules {
		body, err := a.rule(r)
		if err != nil {
			return nil, err
		}
		out = append(out, body...)
	}
	return append(out, ret(c.otherwise)), nil
}

// rule writes one rule: at most six conditions of six instructions, so every
// jump is short.
func (a arch) rule(r rule) (code, error) {
	var steps []step
	var ends []int // of each step's condition
	for _, c := range r.conditions {
		s, err := a.condition(c)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s...)
		for range s {
			ends = append(ends, len(steps))
		}
	}
	out := make(code, 0, len(steps)+1)
	for i, s := range steps {
		count := func(l label) uint8 {
			switch l {
			case next:
				return uint8(ends[i] - i - 1)
			case fail:
				return uint8(len(steps) + 1 - i - 1)
			}
			return 0
		}
		s.Jt, s.Jf = count(s.yes), count(s.no)
		out = append(out, s.SockFilter)
	}
	return append(out, ret(r.action)), nil
}

// condition compares one argument. Words of 64 bits are compared half by half,
// the higher first; 32-bit callers have only the lower.
func (a arch) condition(c specs.LinuxSeccompArg) ([]step, error) {
	lo, hi := uint32(c.Value), uint32(c.Value>>32)
	low, high := uint32(offArgs+8*c.Index), uint32(offArgs+8*c.Index+4)
	wide := func(upper, lower []step) []step {
		if !a.wide {
			return lower
		}
		return append(upper, lower...)
	}
	switch c.Op {
	case specs.OpEqualTo:
		return wide(
			[]step{word(high), test(unix.BPF_JEQ, hi, here, fail)},
			[]step{word(low), test(unix.BPF_JEQ, lo, next, fail)}), nil
	case specs.OpNotEqual:
		return wide(
			[]step{word(high), test(unix.BPF_JEQ, hi, here, next)},
			[]step{word(low), test(unix.BPF_JEQ, lo, fail, next)}), nil
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		return wide(
			[]step{word(high), test(unix.BPF_JGT, hi, next, here), test(unix.BPF_JEQ, hi, here, fail)},
			[]step{word(low), test(orEqual(c.Op == specs.OpGreaterEqual), lo, next, fail)}), nil
	case specs.OpLessThan, specs.OpLessEqual:
		return wide(
			[]step{word(high), test(unix.BPF_JGT, hi, fail, here), test(unix.BPF_JEQ, hi, here, next)},
			[]step{word(low), test(orEqual(c.Op == specs.OpLessThan), lo, fail, next)}), nil
	case specs.OpMaskedEqual:
		return wide(
			[]step{word(high), and(hi), test(unix.BPF_JEQ, uint32(c.ValueTwo>>32), here, fail)},
			[]step{word(low), and(lo), test(unix.BPF_JEQ, uint32(c.ValueTwo), next, fail)}), nil
	}
	return nil, errs.New(errs.Invalid, "unknown seccomp comparison %q", c.Op)
}

func orEqual(yes bool) uint16 {
	if yes {
		return unix.BPF_JGE
	}
	return unix.BPF_JGT
}
