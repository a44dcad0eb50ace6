package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// code is a piece of a filter. Every path through a finished piece ends in a
// return, so pieces can be put together in any order.
type code []unix.SockFilter

// The offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

func jump(op uint16, k uint32, jt, jf uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: jt, Jf: jf}
}

func always(n int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(n)}
}

// branch runs yes where the comparison holds and no where it does not. A
// conditional jump reaches 255 instructions; a longer way takes two steps.
func branch(op uint16, k uint32, yes, no code) code {
	var out code
	if len(no) <= 255 {
		out = append(out, jump(op, k, uint8(len(no)), 0))
	} else {
		out = append(out, jump(op, k, 0, 1), always(len(no)))
	}
	return append(append(out, no...), yes...)
}

// dispatch chooses the part of the caller's architecture. x32 shares its
// number with x86_64 and is told by a bit of the call's number.
func dispatch(sections map[specs.Arch]code) []unix.SockFilter {
	kill := code{ret(unix.SECCOMP_RET_KILL_THREAD)}
	out := kill
	for _, a := range slices.Backward(arches()) {
		section, ok := sections[a.name]
		if !ok || a.name == specs.ArchX32 {
			continue
		}
		body := code{load(offNr)}
		if a.name == specs.ArchX86_64 {
			other := kill
			if x32, ok := sections[specs.ArchX32]; ok {
				other = append(code{{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: ^uint32(x32Bit)}}, x32...)
			}
			body = append(body, branch(unix.BPF_JGE, x32Bit, other, section)...)
		} else {
			body = append(body, section...)
		}
		out = branch(unix.BPF_JEQ, a.audit, body, out)
	}
	if x32, ok := sections[specs.ArchX32]; ok && sections[specs.ArchX86_64] == nil {
		body := append(code{load(offNr), {Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: ^uint32(x32Bit)}}, x32...)
		out = branch(unix.BPF_JEQ, unix.AUDIT_ARCH_X86_64, body, out)
	}
	return append(code{load(offArch)}, out...)
}

// span is a run of calls, up to the next span, that are treated alike.
type span struct {
	from uint32
	body code
	same uint32 // the action, where body is only that
	flat bool
}

// tree finds the call's number by halving, because profiles list hundreds.
func (a arch) tree(calls map[uint32]*call, newest, fallback, unknown uint32) (code, error) {
	numbers := make([]uint32, 0, len(calls))
	for nr := range calls {
		numbers = append(numbers, nr)
	}
	slices.Sort(numbers)
	var spans []span
	flat := func(from, action uint32) {
		if n := len(spans); n > 0 && spans[n-1].flat && spans[n-1].same == action {
			return
		}
		spans = append(spans, span{from: from, body: code{ret(action)}, same: action, flat: true})
	}
	flat(0, fallback)
	for i, nr := range numbers {
		c := calls[nr]
		if len(c.rules) == 0 {
			if nr == 0 {
				spans = spans[:0]
			}
			flat(nr, c.otherwise)
		} else {
			body, err := a.conditional(c)
			if err != nil {
				return nil, err
			}
			if nr == 0 {
				spans = spans[:0]
			}
			spans = append(spans, span{from: nr, body: body})
		}
		if i+1 == len(numbers) || numbers[i+1] != nr+1 {
			next := fallback
			if nr >= newest {
				next = unknown
			}
			flat(nr+1, next)
		}
	}
	w := backward{rets: map[uint32]int{}}
	w.halve(spans)
	slices.Reverse(w.out)
	return w.out, nil
}

// backward writes a tree from its end, so that a return is there before those who
// jump to it and is written once for many. That halves the filter, and with it the
// time in which the kernel takes it over, which every start waits for.
type backward struct {
	out  code           // the last instruction first
	rets map[uint32]int // where the return of each action was written last
}

// halve writes the tree of spans and returns where it is entered.
func (w *backward) halve(spans []span) int {
	if len(spans) == 1 {
		if spans[0].flat {
			return w.ret(spans[0].same)
		}
		for _, in := range slices.Backward(spans[0].body) {
			w.out = append(w.out, in)
		}
		return len(w.out) - 1
	}
	mid := len(spans) / 2
	yes := w.halve(spans[mid:])
	no := w.halve(spans[:mid])
	yes = w.near(yes)
	no = w.near(no)
	w.out = append(w.out, jump(unix.BPF_JGE, spans[mid].from, uint8(w.skip(yes)), uint8(w.skip(no))))
	return len(w.out) - 1
}

// shared is how far back a return may lie to be used again: a conditional jump
// reaches 255 instructions, and the one to it is still to come.
const shared = 128

func (w *backward) ret(action uint32) int {
	if at, ok := w.rets[action]; ok && w.skip(at) < shared {
		return at
	}
	w.out = append(w.out, ret(action))
	w.rets[action] = len(w.out) - 1
	return len(w.out) - 1
}

// skip is how many instructions the next one jumps over to one that is there.
func (w *backward) skip(to int) int { return len(w.out) - 1 - to }

// near is a place within the reach of the next two instructions that leads to one
// that is there.
func (w *backward) near(to int) int {
	if w.skip(to) < 254 {
		return to
	}
	w.out = append(w.out, always(w.skip(to)))
	return len(w.out) - 1
}
