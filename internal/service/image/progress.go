package image

import (
	"sync"
	"sync/atomic"

	"lus/internal/model/image"
)

// reporter sends progress to one listener, one message at a time.
type reporter struct {
	mu   sync.Mutex
	send func(image.Progress)
}

func newReporter(send func(image.Progress)) *reporter {
	if send == nil {
		send = func(image.Progress) {}
	}
	return &reporter{send: send}
}

func (r *reporter) say(id, status string) { r.message(image.Progress{ID: id, Status: status}) }

// layer tells the state of a layer, in Docker's words.
func (r *reporter) layer(id, status string) {
	r.message(image.Progress{ID: id, Status: status, Detail: &image.ProgressDetail{}})
}

func (r *reporter) message(p image.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(p)
}

// meter counts bytes and tells of them every fiftieth of the whole, and at
// least every half megabyte.
type meter struct {
	to     *reporter
	id     string
	status string
	total  int64
	now    int64
	told   int64
	silent *atomic.Bool // nothing is told before it is true; nil means it is
}

func (m *meter) Write(p []byte) (int, error) {
	m.now += int64(len(p))
	step := min(m.total/50, 512<<10)
	if m.now-m.told >= step && m.now <= m.total && (m.silent == nil || m.silent.Load()) {
		m.told = m.now
		m.to.message(image.Progress{ID: m.id, Status: m.status, Detail: &image.ProgressDetail{Current: m.now, Total: m.total}})
	}
	return len(p), nil
}
