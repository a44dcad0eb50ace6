package compose

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"lus/internal/model/compose"
)

// locks lets one request at a time change a project; the next one waits and
// says for whom.
type locks struct {
	mu   sync.Mutex
	held map[string]*holder
}

type holder struct {
	doing string
	done  chan struct{}
}

// take returns once the project is ours; the caller frees it.
func (l *locks) take(ctx context.Context, project, doing string, tell Tell) (free func(), err error) {
	said := false
	for {
		l.mu.Lock()
		h := l.held[project]
		if h == nil {
			h = &holder{doing: doing, done: make(chan struct{})}
			if l.held == nil {
				l.held = map[string]*holder{}
			}
			l.held[project] = h
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, project)
				l.mu.Unlock()
				close(h.done)
			}, nil
		}
		l.mu.Unlock()
		if !said {
			tell(compose.Event{Text: "Waiting for " + h.doing + " of project " + project + " to end\n"})
			said = true
		}
		select {
		case <-h.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// holderOf words who has a project: what is done, by whom.
func holderOf(doing string, by compose.Caller) string {
	if by.Command != "" {
		doing = by.Command
	}
	out := "`" + doing + "`"
	var who []string
	if by.Pid != 0 {
		who = append(who, "pid "+strconv.Itoa(by.Pid))
	}
	if by.User != "" {
		who = append(who, "user "+by.User)
	}
	if len(who) > 0 {
		out += " (" + strings.Join(who, ", ") + ")"
	}
	return out
}

// serial makes tell safe for several goroutines.
func serial(tell Tell) Tell {
	var mu sync.Mutex
	return func(e compose.Event) {
		mu.Lock()
		defer mu.Unlock()
		tell(e)
	}
}
