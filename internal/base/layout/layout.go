// Package layout knows where everything of one Lus instance lies: the state
// folder (root), the run folder, the sockets, and the instance id that keeps
// two daemons on one host out of each other's way.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// The defaults, each movable by flag and by environment.
const (
	DefaultRoot = "/var/lib/lus"
	DefaultRun  = "/run/lus"
)

// Layout is where one instance keeps its things. Both folders are absolute.
type Layout struct {
	Root string // state that survives a reboot
	Run  string // sockets, start records and everything a reboot may take
	// Sock is the daemon's socket; empty means Run/lus.sock.
	Sock string
}

// FromEnv returns the layout that LUS_ROOT, LUS_RUN and the defaults name. A
// root without a run folder of its own gets one derived from it, so that
// `LUS_ROOT=/x` alone is enough for a second instance.
func FromEnv() Layout {
	return Resolve(os.Getenv("LUS_ROOT"), os.Getenv("LUS_RUN"))
}

// Resolve fills in what is empty.
func Resolve(root, run string) Layout {
	if root == "" {
		root = DefaultRoot
	}
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	if run == "" {
		run = DefaultRun
		if root != DefaultRoot {
			run = DefaultRun + "-" + instance(root)
		}
	}
	if abs, err := filepath.Abs(run); err == nil {
		run = abs
	}
	return Layout{Root: root, Run: run}
}

// Instance is six hexadecimal digits derived from the root. It is part of every
// interface name, nftables table, cgroup parent and scope of this instance.
func (l Layout) Instance() string { return instance(l.Root) }

func instance(root string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(root)))
	return hex.EncodeToString(sum[:3])
}

// Socket is the daemon's unix socket.
func (l Layout) Socket() string {
	if l.Sock != "" {
		return l.Sock
	}
	return filepath.Join(l.Run, "lus.sock")
}

// KeeperSocket is the keeper's unix socket, mode 0600.
func (l Layout) KeeperSocket() string { return filepath.Join(l.Run, "keeper.sock") }

// DNSSocket is the unix socket on which lus-dns takes its names, mode 0600.
func (l Layout) DNSSocket() string { return filepath.Join(l.Run, "dns.sock") }

// OCI is the folder of containers that other OCI runtimes run: what those need
// to know of them, and what they note.
func (l Layout) OCI() string { return filepath.Join(l.Run, "oci") }

// Images is the one store: blobs, snapshots and their metadata database.
func (l Layout) Images() string { return filepath.Join(l.Root, "images") }

// Build is what BuildKit keeps beside the store: its cache records.
func (l Layout) Build() string { return filepath.Join(l.Root, "build") }

// Temp is the folder of temporary files and mounts, which only root enters.
func (l Layout) Temp() string {
	dir := filepath.Join(l.Build(), "tmp")
	// The sockets of builds' agents lie there, and their paths end at 107 bytes.
	if len(dir)+len("/.buildkit-ssh-sock4294967295/ssh_auth_sock") > 107 {
		return filepath.Join(l.Run, "tmp")
	}
	return dir
}

// Records is the SQLite database of containers, networks and volumes.
func (l Layout) Records() string { return filepath.Join(l.Root, "lus.db") }

// Container is the folder of one container: upper, work, logs, hosts files.
func (l Layout) Container(id string) string { return filepath.Join(l.Root, "containers", id) }

// Containers is the folder of all containers.
func (l Layout) Containers() string { return filepath.Join(l.Root, "containers") }

// Stubs is the layer below every container's image: empty files and folders to
// mount what each container has on.
func (l Layout) Stubs() string { return filepath.Join(l.Root, "stubs") }

// Volumes is the folder of the named volumes.
func (l Layout) Volumes() string { return filepath.Join(l.Root, "volumes") }

// Config is the administrator's file: /etc/lus/daemon.json, or daemon.json in a
// root that is not the usual one.
func (l Layout) Config() string {
	if l.Root == DefaultRoot {
		return "/etc/lus/daemon.json"
	}
	return filepath.Join(l.Root, "daemon.json")
}

// Accounts is the folder of the key that signs the tokens of accounts.
func (l Layout) Accounts() string { return filepath.Join(l.Root, "accounts") }

// Certificates is the folder of the authority that vouches for what listens.
func (l Layout) Certificates() string { return filepath.Join(l.Root, "certificates") }

// LockFile is held by the one daemon that owns this root.
func (l Layout) LockFile() string { return filepath.Join(l.Root, "lusd.lock") }
