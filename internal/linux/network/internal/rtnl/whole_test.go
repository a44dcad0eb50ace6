package rtnl_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/thread"
	"lus/internal/linux/network/internal/rtnl"
	"lus/test/need"
)

// TestListsAreWholeWhileLinksComeAndGo: a link that is there all the time is in
// every list, and so is its address, however many others are made and deleted
// meanwhile. Older kernels (6.1) leave some out of a list that changes.
func TestListsAreWholeWhileLinksComeAndGo(t *testing.T) {
	need.Root(t)
	var lists, changes *rtnl.Conn
	if err := thread.Apart(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if lists, err = rtnl.Dial(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		changes, err = rtnl.Dial(unix.NETLINK_ROUTE)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer lists.Close()
	defer changes.Close()

	const stay, come, group = 120, 64, 7
	for i := range stay {
		name := fmt.Sprintf("stays%d", i)
		if err := lists.Do(rtnl.NewBridge(name, 1500)); err != nil {
			t.Fatal(err)
		}
		l, err := lists.Link(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := lists.Do(rtnl.AddAddress(l.Index, own(i))); err != nil {
			t.Fatal(err)
		}
	}
	var churn sync.WaitGroup
	stop := make(chan struct{})
	defer churn.Wait()
	defer close(stop)
	churn.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var msgs []*rtnl.Message
			for i := range come {
				name := fmt.Sprintf("comes%d", i)
				msgs = append(msgs, rtnl.NewBridge(name, 1500), rtnl.SetGroup(name, group))
			}
			if err := changes.Do(append(msgs, rtnl.DeleteGroup(group))...); err != nil {
				t.Error(err)
				return
			}
		}
	})
	taken := 0
	for end := time.Now().Add(20 * time.Second); taken < 150 && time.Now().Before(end); taken++ {
		links, err := lists.Links()
		if err != nil {
			t.Fatal(err)
		}
		addresses, err := lists.Addresses(unix.AF_INET)
		if err != nil {
			t.Fatal(err)
		}
		for i := range stay {
			name := fmt.Sprintf("stays%d", i)
			at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == name })
			if at < 0 {
				t.Fatalf("list %d of %d links lacks %s", taken, len(links), name)
			}
			if !slices.Contains(addresses, rtnl.Address{Index: links[at].Index, Prefix: own(i)}) {
				t.Fatalf("list %d of %d addresses lacks that of %s", taken, len(addresses), name)
			}
		}
	}
	t.Logf("%d lists", taken)
}

// own is the address of a link that stays.
func own(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 1}), 24)
}

// TestAListThatFailedIsAnError: only at its end the kernel tells how it went.
func TestAListThatFailedIsAnError(t *testing.T) {
	need.Root(t)
	c, err := rtnl.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const nobodys = 1 << 20 // the number of a namespace
	m := rtnl.NewMessage(unix.RTM_GETLINK, 0, rtnl.IfInfo(0, 0, 0, 0)).Uint32(unix.IFLA_TARGET_NETNSID, nobodys)
	if _, err := c.Dump(m, func(uint16, []byte) {}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("the list ended with %v", err)
	}
}
