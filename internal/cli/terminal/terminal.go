// Package terminal switches the user's terminal to raw mode and back, reads its
// size, and finds the keys that detach from a container.
package terminal

import (
	"bufio"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/cli/interrupt"
)

// Is reports whether f is a terminal.
func Is(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Raw passes every key on as it is typed. It returns what undoes it.
func Raw(f *os.File) (restore func(), err error) { return change(f, makeRaw) }

// change sets a terminal and returns what sets it back.
func change(f *os.File, to func(*unix.Termios)) (restore func(), err error) {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	settings := *old
	to(&settings)
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &settings); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil
}

func makeRaw(raw *unix.Termios) {
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag &^= unix.CSIZE | unix.PARENB
	raw.Cflag |= unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
}

// Size is the terminal's height and width; zero where f is none.
func Size(f *os.File) (rows, cols uint) {
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return uint(w.Row), uint(w.Col)
}

// Keys find the sequence that detaches in what is typed.
type Keys struct {
	sequence []byte
	seen     int // how much of it was typed and is held back
}

// ParseKeys reads a sequence such as "ctrl-p,ctrl-q"; empty is that one.
func ParseKeys(s string) (*Keys, error) {
	if s == "" {
		s = "ctrl-p,ctrl-q"
	}
	k := &Keys{}
	for part := range strings.SplitSeq(s, ",") {
		key, ctrl := strings.CutPrefix(part, "ctrl-")
		if len(key) != 1 {
			return nil, errs.New(errs.Invalid, "invalid detach keys (%s): write characters and ctrl-x, separated by commas", s)
		}
		c := key[0]
		if ctrl {
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			if c < '@' || c > '_' {
				return nil, errs.New(errs.Invalid, "invalid detach keys (%s): there is no ctrl-%s", s, key)
			}
			c -= '@'
		}
		k.sequence = append(k.sequence, c)
	}
	return k, nil
}

// Sequence is the whole sequence.
func (k *Keys) Sequence() []byte { return k.sequence }

// Typed takes what was typed and returns what to pass on, and whether the
// sequence is complete. Keys that may begin it are held back until it is clear.
func (k *Keys) Typed(p []byte) (pass []byte, detach bool) {
	pass = make([]byte, 0, len(p)+k.seen)
	for _, b := range p {
		if b != k.sequence[k.seen] {
			pass = append(pass, k.sequence[:k.seen]...)
			k.seen = 0
			if b != k.sequence[0] {
				pass = append(pass, b)
				continue
			}
		}
		k.seen++
		if k.seen == len(k.sequence) {
			k.seen = 0
			return pass, true
		}
	}
	return pass, false
}

// Secret reads a line without showing it.
func Secret(f *os.File) (string, error) {
	restore, err := change(f, func(hidden *unix.Termios) { hidden.Lflag &^= unix.ECHO })
	if err != nil {
		return "", err
	}
	defer restore()
	defer interrupt.Undo(restore)()
	line, err := bufio.NewReader(f).ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}
