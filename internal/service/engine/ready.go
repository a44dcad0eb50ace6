package engine

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lus/internal/base/ids"
	"lus/internal/model/container"
)

// waits reports whether a container of a service leaves new connections to the
// others: it is not healthy (yet), or it is being drained.
func waits(rec *container.Container) bool {
	if rec.HostConfig.ServiceGroup == "" {
		return false
	}
	if rec.Draining {
		return true
	}
	if !probes(rec.Config) {
		return false
	}
	return rec.State.Health == nil || rec.State.Health.Status != container.Healthy
}

// tellReady makes names and shared ports lead to a container of a service, or
// past it, as its health says. It is asked again at each change, so what comes
// late tells the latest.
func (e *Engine) tellReady(ctx context.Context, u *unit) {
	rec := u.snapshot()
	if rec.HostConfig.ServiceGroup == "" {
		return
	}
	e.dns.mu.Lock()
	for networkID, bounds := range e.dns.net {
		b, ok := bounds[rec.ID]
		rec = u.snapshot()
		if !ok || b.waiting == waits(&rec) {
			continue
		}
		b.waiting = waits(&rec)
		bounds[rec.ID] = b
		if err := e.pushNames(ctx, networkID); err != nil {
			e.Log.Warn("updating names", "network", ids.Short(networkID), "err", err)
		}
	}
	e.dns.mu.Unlock()
	e.warn("leading connections", &rec, e.Network.SetReady(ctx, rec.ID, !waits(&rec)))
}

const (
	drainLook  = 25 * time.Millisecond
	drainQuiet = 250 * time.Millisecond // without a connection: then nobody is on the way either
)

// DrainContainer leads new connections to the others of the container's service
// and returns when those to it have ended, or after patience.
func (e *Engine) DrainContainer(ctx context.Context, name string, patience time.Duration) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	e.change(u, func(rec *container.Container) { rec.Draining = true })
	e.tellReady(ctx, u)
	deadline := time.Now().Add(patience)
	quiet := time.Now()
	for tick := time.NewTicker(drainLook); ; {
		rec := u.snapshot()
		if !rec.State.Running() {
			tick.Stop()
			return nil
		}
		now := time.Now()
		if connected(rec.State.Pid) {
			quiet = now
		}
		if now.Sub(quiet) >= drainQuiet || now.After(deadline) {
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		}
	}
}

// connected reports whether anybody from outside has a connection to a port that
// something in the process's network listens on.
func connected(pid int) bool {
	listening := map[string]bool{}
	var open []string
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 4 {
				continue
			}
			_, port, _ := strings.Cut(f[1], ":")
			const established, listen, closing = "01", "0A", "08" // the other side closed, and we have not
			switch f[3] {
			case listen:
				listening[port] = true
			case established, closing:
				if !loopback(f[2]) {
					open = append(open, port)
				}
			}
		}
	}
	return slices.ContainsFunc(open, func(port string) bool { return listening[port] })
}

// loopback reports whether an address of /proc/net/tcp is of 127/8 or ::1.
func loopback(address string) bool {
	ip, _, _ := strings.Cut(address, ":")
	if ip == "00000000000000000000000001000000" {
		return true
	}
	if len(ip) < 8 {
		return false
	}
	low, err := strconv.ParseUint(ip[len(ip)-8:], 16, 32) // in the order of the machine
	return err == nil && low&0xff == 127
}
