package report

import "sync"

// mostKnown bounds what is remembered: some hundred bytes each.
const mostKnown = 4096

// Known remembers the ids that were told of steps, so that a step from the
// cache is told under the id that it had.
type Known struct {
	mu  sync.Mutex
	ids map[string]string
}

func (k *Known) get(key string) (id string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok = k.ids[key]
	return id, ok
}

func (k *Known) put(key, id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ids == nil || len(k.ids) >= mostKnown {
		k.ids = map[string]string{}
	}
	k.ids[key] = id
}
