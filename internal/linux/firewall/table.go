// Package firewall keeps the nftables tables of an instance, one for each
// version of IP that its networks speak: address translation for its bridges,
// published ports as elements of two maps, and what may be forwarded. It also
// knows the foreign rule sets beside them that would still drop their traffic,
// and where a rule belongs to stop that.
package firewall

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/google/nftables"
)

// Table is the instance's nftables table and a copy of its elements, so that
// the table can be made again when somebody flushed the rule set.
type Table struct {
	name   string
	family family

	mu    sync.Mutex
	conn  *nftables.Conn
	table *nftables.Table
	sets  map[string]*nftables.Set
	// elements: set name -> key -> value, as the kernel keeps them.
	elements map[string]map[string]string
}

// change adds (or replaces) one element, or deletes it.
type change struct {
	set, key, val string
	del           bool
}

// Open makes the table of that name for IPv4, or takes over the one that is
// there with its elements, so that published ports work on through a restart.
func Open(name string) (*Table, error) { return open(name, ipv4()) }

// Open6 is Open for IPv6.
func Open6(name string) (*Table, error) { return open(name, ipv6()) }

// Has6 reports whether the table of that name is there for IPv6.
func Has6(name string) (bool, error) {
	t := &Table{name: name, family: ipv6()}
	if err := t.dial(); err != nil {
		return false, err
	}
	defer func() { _ = t.conn.CloseLasting() }()
	return t.exists()
}

func open(name string, f family) (*Table, error) {
	t := &Table{name: name, family: f}
	if err := t.dial(); err != nil {
		return nil, err
	}
	t.describe()
	err := t.learn()
	if err == nil {
		err = t.skeleton(false)
	}
	if err != nil {
		// Made by another version: its sets are of other types.
		err = t.skeleton(true)
	}
	if err != nil {
		// And rules of others refer to them.
		t.conn.DelTable(t.table)
		if err = t.flush(); err == nil {
			err = t.skeleton(true)
		}
	}
	if err != nil {
		_ = t.conn.CloseLasting()
		return nil, fmt.Errorf("making the nftables table %s: %w", name, err)
	}
	return t, nil
}

// dial opens the lasting connection. Closing one after a deletion waits for
// the kernel's clean-up, so there is one for all.
func (t *Table) dial() error {
	if t.conn != nil {
		_ = t.conn.CloseLasting()
	}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(bigBuffer))
	if err != nil {
		return fmt.Errorf("connecting to nftables: %w", err)
	}
	t.conn = conn
	return nil
}

// Close leaves the table in the kernel and closes the connection.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conn.CloseLasting()
}

// Delete removes the table with everything in it; where an administrator has
// put rules into UserChain, everything but those.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hasUserRules() {
		if err := t.clear(); err != nil {
			return err
		}
	} else {
		t.conn.DelTable(t.table)
	}
	if err := t.flush(); err != nil && !isMissing(err) {
		return fmt.Errorf("removing the nftables table %s: %w", t.name, err)
	}
	for name := range t.elements {
		clear(t.elements[name])
	}
	return nil
}

// Where names the chain an administrator may add rules to, as nft does.
func (t *Table) Where() string { return t.family.word + " " + t.name + " " + UserChain }

func (t *Table) hasUserRules() bool {
	if there, err := t.exists(); err != nil || !there {
		return false
	}
	rules, err := t.conn.GetRules(t.table, t.userChain())
	return len(rules) > 0 || err != nil && !isMissing(err) // one that we cannot read is one
}

// clear queues the removal of everything that is ours in the table.
func (t *Table) clear() error {
	chains, err := t.conn.ListChainsOfTableFamily(t.family.table)
	if err != nil {
		return errors.Join(err, t.dial())
	}
	there := map[string]bool{}
	for _, c := range chains {
		there[c.Name] = there[c.Name] || c.Table.Name == t.name
	}
	ours := slices.DeleteFunc(slices.Clone(ownChains), func(name string) bool { return !there[name] })
	sets, err := t.conn.GetSets(t.table)
	if err != nil && !isMissing(err) {
		return errors.Join(err, t.dial())
	}
	for _, name := range ours {
		t.conn.FlushChain(&nftables.Chain{Table: t.table, Name: name})
	}
	for _, name := range ours {
		t.conn.DelChain(&nftables.Chain{Table: t.table, Name: name})
	}
	for _, s := range sets {
		if slices.Contains(t.setNames(), s.Name) {
			t.conn.DelSet(s)
		}
	}
	return nil
}

// learn reads the elements of a table that is already there.
func (t *Table) learn() error {
	for name := range t.sets {
		t.elements[name] = map[string]string{}
	}
	there, err := t.exists()
	if err != nil || !there {
		return err
	}
	for name, set := range t.sets {
		found, err := t.conn.GetSetElements(set)
		if isMissing(err) {
			// The table is of a version that did not have it.
			if err := t.dial(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return errors.Join(err, t.dial())
		}
		for _, e := range found {
			key := string(e.Key)
			if e.IntervalEnd {
				key += intervalEnd
			}
			if name == setNets && key == t.family.openEnd() {
				continue // the kernel's own, for everything below the first
			}
			t.elements[name][key] = string(e.Val)
		}
	}
	return nil
}

func (t *Table) exists() (bool, error) {
	tables, err := t.conn.ListTablesOfFamily(t.family.table)
	if err != nil {
		return false, errors.Join(err, t.dial())
	}
	return slices.ContainsFunc(tables, func(have *nftables.Table) bool { return have.Name == t.name }), nil
}

// skeleton writes table, sets, chains and rules in one transaction. Elements
// stay where the table stays; fresh makes all of it anew with the elements known.
func (t *Table) skeleton(fresh bool) error {
	if fresh {
		if there, err := t.exists(); err != nil {
			return err
		} else if there {
			if err := t.clear(); err != nil {
				return err
			}
		}
	}
	t.conn.AddTable(t.table)
	if err := t.addSets(); err != nil {
		return err
	}
	t.rules()
	if fresh {
		for name, elements := range t.elements {
			if err := t.add(name, elements); err != nil {
				return err
			}
		}
	}
	return t.flush()
}

// numbering guards the number that nftables gives each set of a transaction: it
// counts in a variable of the package.
var numbering sync.Mutex

func (t *Table) addSets() error {
	numbering.Lock()
	defer numbering.Unlock()
	for _, name := range t.setNames() {
		if err := t.conn.AddSet(t.sets[name], nil); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what is queued. After an error the connection may hold answers
// that nobody read, so it is opened anew.
func (t *Table) flush() error {
	err := t.conn.Flush()
	if err != nil {
		err = errors.Join(err, t.dial())
	}
	return err
}

// chunk bounds the elements of one message: an attribute holds 64 KB.
const chunk = 256

func (t *Table) add(set string, elements map[string]string) error {
	batch := make([]nftables.SetElement, 0, min(len(elements), chunk))
	send := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := t.conn.SetAddElements(t.sets[set], batch)
		batch = batch[:0]
		return err
	}
	for k, v := range elements {
		batch = append(batch, t.element(k, v))
		if len(batch) == chunk {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// intervalEnd marks the key of an element that ends an interval of addresses.
const intervalEnd = "end"

func (t *Table) element(k, v string) nftables.SetElement {
	start, isEnd := strings.CutSuffix(k, intervalEnd)
	isEnd = isEnd && len(start) == t.family.size
	if !isEnd {
		start = k
	}
	e := nftables.SetElement{Key: []byte(start), IntervalEnd: isEnd}
	if v != "" {
		e.Val = []byte(v)
	}
	return e
}

// apply carries the changes out in one transaction: all or none. Those that
// are already so are left out, which makes every caller idempotent; a deletion
// that names a value leaves another's element of the same key alone.
func (t *Table) apply(changes []change) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var undo []change
	revert := func() {
		for _, u := range slices.Backward(undo) {
			t.note(u)
		}
	}
	for _, c := range changes {
		old, there := t.elements[c.set][c.key]
		if c.del && (!there || c.val != "" && c.val != old) || !c.del && there && old == c.val {
			continue
		}
		if err := t.queue(c, old, there); err != nil {
			revert()
			return err
		}
		undo = append(undo, change{set: c.set, key: c.key, val: old, del: !there})
		t.note(c)
	}
	if len(undo) == 0 {
		return nil
	}
	err := t.flush()
	if isMissing(err) {
		// Somebody flushed the rule set: make the table anew, with the changes.
		err = t.skeleton(true)
	}
	if err != nil {
		revert()
		return fmt.Errorf("changing the nftables table %s: %w", t.name, err)
	}
	return nil
}

// note keeps the copy of the elements.
func (t *Table) note(c change) {
	if c.del {
		delete(t.elements[c.set], c.key)
	} else {
		t.elements[c.set][c.key] = c.val
	}
}

func (t *Table) queue(c change, old string, there bool) error {
	set := t.sets[c.set]
	if there {
		if err := t.conn.SetDeleteElements(set, []nftables.SetElement{t.element(c.key, old)}); err != nil {
			return err
		}
	}
	if c.del {
		return nil
	}
	return t.conn.SetAddElements(set, []nftables.SetElement{t.element(c.key, c.val)})
}

// Check makes the table anew if it has vanished, as after `systemctl restart
// nftables`, and reports whether it had. One that was deleted, or has no bridge
// to serve yet, stays away: the next change makes it.
func (t *Table) Check() (vanished bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.elements[setBridges]) == 0 {
		return false, nil
	}
	if there, err := t.exists(); err != nil || there {
		return false, err
	}
	return true, t.skeleton(true)
}

// isMissing: the table, set or element is not there.
func isMissing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrNotExist)
}
