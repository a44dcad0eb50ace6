package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/linux/dns"
)

// names is the name server as the engine sees it: one that is always there. It
// outlives the daemon; when it dies it is started anew, and the engine hands
// over everything again.
type names struct {
	layout layout.Layout
	binary string
	log    *slog.Logger

	mu     sync.RWMutex
	client *dns.Client
}

// served is what hands over all names and namespaces to a new name server.
type served interface {
	ServeNames(ctx context.Context) error
}

func newNames(ctx context.Context, l layout.Layout, log *slog.Logger) (*names, error) {
	binary, err := program("lus-dns")
	if err != nil {
		return nil, err
	}
	n := &names{layout: l, binary: binary, log: log}
	n.client, err = n.connect(ctx)
	return n, err
}

func (n *names) connect(ctx context.Context) (*dns.Client, error) {
	return dns.Ensure(ctx, n.layout.DNSSocket(), n.binary, "lus-"+n.layout.Instance()+"/dns")
}

func (n *names) current() *dns.Client {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.client
}

// firstPause and longestPause are between two tries to have a name server again.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// run revives the name server until ctx ends.
func (n *names) run(ctx context.Context, all served) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.current().Done():
		}
		n.log.Warn("the name server ended: starting another")
		for pause := firstPause; ; pause = min(2*pause, longestPause) {
			err := n.revive(ctx, all)
			if err == nil {
				break
			}
			n.log.Error("the name server cannot be had: names do not resolve meanwhile", "error", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// revive sees to it that there is a name server, and that it knows everything.
func (n *names) revive(ctx context.Context, all served) error {
	select {
	case <-n.current().Done():
		c, err := n.connect(ctx)
		if err != nil {
			return err
		}
		n.mu.Lock()
		_ = n.client.Close()
		n.client = c
		n.mu.Unlock()
	default: // it only could not be told everything
	}
	return all.ServeNames(ctx)
}

// stop ends the name server: nobody asks any more.
func (n *names) stop(ctx context.Context) error {
	if err := n.current().Stop(ctx); err != nil && !errs.Is(err, errs.Unavailable) {
		return fmt.Errorf("ending the name server: %w", err)
	}
	return nil
}

// Close lets go of the name server, which goes on.
func (n *names) Close() error { return n.current().Close() }

// Serve answers in netns.
func (n *names) Serve(ctx context.Context, containerID string, netns *os.File, networks, upstream []string) error {
	return n.current().Serve(ctx, containerID, netns, networks, upstream)
}

// Drop ends the answers for a container.
func (n *names) Drop(ctx context.Context, containerID string) error {
	// A name server that ended answers for nobody any more.
	if err := n.current().Drop(ctx, containerID); err != nil && !errs.Is(err, errs.Unavailable) {
		return err
	}
	return nil
}

// SetNames replaces the names of a network.
func (n *names) SetNames(ctx context.Context, networkID string, table map[string][]netip.Addr) error {
	return n.current().SetNames(ctx, networkID, table)
}

// List tells which containers are served.
func (n *names) List(ctx context.Context) ([]string, error) {
	return n.current().List(ctx)
}
