package initproc

import (
	"os"
	"time"
)

// The operations below are for containers that another OCI runtime makes. The
// init runs it and names the process that it made in its own place.

// Attach moves a detached mount to a path of the host as the init sees it,
// which must be the caller's own: links are followed.
func (p *Program) Attach(mount *os.File, path string) {
	p.begin(opAttach)
	p.file(mount)
	p.str(path)
	p.end()
}

// Run runs a program, in a folder, with arguments (the first is its path) and
// environment, to its end. One that fails ends the init, as does one that takes
// longer than patience: ETIMEDOUT, and it is killed.
func (p *Program) Run(patience time.Duration, folder string, args, env []string) {
	p.begin(opRun)
	p.u32(uint32(max(patience/time.Second, 1)))
	p.str(folder)
	p.list(args)
	p.list(env)
	p.end()
}

// Terminal hands the keeper the terminal that was sent to a socket, which must
// not block.
func (p *Program) Terminal(listener *os.File) {
	p.begin(opTerminal)
	p.file(listener)
	p.end()
}

// Adopt names the process whose number is in a file as the one. Should a later
// operation fail, it is killed.
func (p *Program) Adopt(pidFile string) { p.text(opAdopt, pidFile) }

// Subreaper keeps orphans below the init until it ends: what has not been named
// by Adopt yet cannot be reaped.
func (p *Program) Subreaper() { p.plain(opSubreaper) }

// Done ends the init; the process that was adopted goes on.
func (p *Program) Done() { p.plain(opDone) }
