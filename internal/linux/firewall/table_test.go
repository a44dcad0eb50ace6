package firewall_test

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/thread"
	"lus/internal/linux/firewall"
	"lus/test/need"
)

// TestTablesAreMadeAtOnce by the instances of one process, under the race
// detector: the library has a variable that all tables share.
func TestTablesAreMadeAtOnce(t *testing.T) {
	need.Root(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := thread.Apart(makeTables); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// makeTables makes and deletes tables in a network namespace of its own, which
// goes with the thread.
func makeTables() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	for range 20 {
		table, err := firewall.Open("lus-test")
		if err != nil {
			return err
		}
		if err := errors.Join(table.Delete(), table.Close()); err != nil {
			return err
		}
	}
	return nil
}
