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

// run revives the name server until ctx ends.
func (n *names) run(ctx context.Context, all served) error {
	pause := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.current().Done():
		}
		n.log.Warn("the name server ended: starting another")
		c, err := n.connect(ctx)
		if err == nil {
			n.mu.Lock()
			_ = n.client.Close()
			n.client = c
			n.mu.Unlock()
			err = all.ServeNames(ctx)
		}
		if err == nil {
			pause = 0
			continue
		}
		n.log.Error("the name server cannot be had: names do not resolve meanwhile", "error", err)
		pause = min(max(2*pause, 100*time.Millisecond), 10*time.Second)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
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
