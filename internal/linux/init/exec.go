package initproc

import "golang.org/x/sys/unix"

// Capabilities are sets of bits, one for each capability of capability.h.
type Capabilities struct {
	Bounding, Effective, Permitted, Inheritable, Ambient uint64
}

// Last is the last operation: who the process becomes, and what.
type Last struct {
	UID, GID uint32
	Groups   []uint32
	Umask    uint32
	Caps     Capabilities
	// NoNewPrivileges keeps setuid programs from gaining anything.
	NoNewPrivileges bool
	// Terminal makes standard input the controlling terminal.
	Terminal bool
	// Reaper keeps an init as the first process, which reaps and forwards
	// signals, and runs the command below it.
	Reaper      bool
	Filter      []unix.SockFilter // seccomp; empty for none
	FilterFlags uint32
	Cwd         string
	// Name is the program, looked up along Env's PATH where it has no slash.
	Name      string
	Args, Env []string
}

const (
	lastNNP = 1 << iota
	lastTerminal
	lastInit
)

// Exec becomes the user's program. It is the last operation of every program.
func (p *Program) Exec(l *Last) {
	p.begin(opExec)
	var flags uint32
	for flag, on := range map[uint32]bool{lastNNP: l.NoNewPrivileges, lastTerminal: l.Terminal, lastInit: l.Reaper} {
		if on {
			flags |= flag
		}
	}
	p.u32(flags)
	p.u32(l.UID)
	p.u32(l.GID)
	p.u32(l.Umask)
	for _, set := range []uint64{l.Caps.Bounding, l.Caps.Effective, l.Caps.Permitted, l.Caps.Inheritable, l.Caps.Ambient} {
		p.u64(set)
	}
	p.u32(l.FilterFlags)
	p.u32(uint32(len(l.Groups)))
	for _, g := range l.Groups {
		p.u32(g)
	}
	p.u32(uint32(len(l.Filter)))
	for _, f := range l.Filter {
		p.u64(uint64(f.Code) | uint64(f.Jt)<<16 | uint64(f.Jf)<<24 | uint64(f.K)<<32)
	}
	p.str(l.Cwd)
	p.str(l.Name)
	p.list(l.Args)
	p.list(l.Env)
	p.end()
}
