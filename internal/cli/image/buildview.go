package image

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"lus/internal/base/errs"
	"lus/internal/cli/buildview"
	"lus/internal/cli/command"
	"lus/internal/cli/interrupt"
	"lus/internal/cli/terminal"
	"lus/internal/model/build"
)

// buildView is where the news of a build goes.
type buildView interface {
	status(json.RawMessage) error
	text(string)
	close(ok bool)
}

// view is what --progress asks for, and tells the daemon what to send.
func (b *buildFlags) view(e *command.Env) (buildView, error) {
	tty := b.progress == "tty" || b.progress == "auto" && terminal.Is(e.Err)
	switch {
	case b.Quiet, b.progress == "none", b.Call != "" && b.progress == "auto":
		return silent{}, nil
	case b.progress == "rawjson":
		b.StatusJSON = true
		return rawJSON{to: e.Err}, nil
	case tty:
		b.StatusJSON = true
		v := buildview.New(buildview.Options{
			Out: e.Err, Size: func() (uint, uint) { return terminal.Size(e.Err) }, Now: time.Now, Color: os.Getenv("NO_COLOR") == "",
		})
		return display{v, interrupt.Undo(v.Leave)}, nil
	}
	return plainText{to: terminal.NewLog(e.Err)}, nil
}

// silent shows nothing.
type silent struct{}

func (silent) status(json.RawMessage) error { return nil }
func (silent) text(string)                  {}
func (silent) close(bool)                   {}

// plainText is a log.
type plainText struct {
	silent
	to *terminal.Log
}

func (p plainText) text(s string) { fmt.Fprint(p.to, s) }

func (p plainText) close(bool) { _ = p.to.Close() }

// rawJSON is for programs: a line of JSON for each piece of news.
type rawJSON struct {
	silent
	to *os.File
}

func (r rawJSON) status(m json.RawMessage) error {
	_, err := r.to.Write(append(m, '\n'))
	return err
}

// display is drawn anew on a terminal.
type display struct {
	*buildview.View
	done func() // with what a signal would have to undo
}

func (d display) status(m json.RawMessage) error {
	var st build.Status
	if err := json.Unmarshal(m, &st); err != nil {
		return errs.New(errs.Internal, "the daemon's news of the build: %w", err)
	}
	d.Status(&st)
	return nil
}

func (display) text(string) {}

func (d display) close(ok bool) {
	d.Close(ok)
	d.done()
}
