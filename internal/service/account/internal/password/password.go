// Package password hashes passwords with argon2id and compares them, a bounded
// number at a time: each hash takes 19 MiB and some tens of milliseconds, which
// strangers must not be able to ask for without end.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"lus/internal/base/errs"
)

// The parameters of new hashes, of which each hash carries its own.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	threads = 1
	saltLen = 16
	keyLen  = 32
)

// The bounds of what is taken for a hash that somebody made here.
const (
	maxMemory = 256 << 10 // KiB
	maxPasses = 16
)

// The bounds of passwords, in bytes. The upper one bounds the work of a hash.
const (
	minLen = 8
	maxLen = 512
)

// The bounds of the work at once.
const (
	running = 2
	waiting = 64
)

// Hasher makes and checks hashes. Its methods are safe for concurrent use.
type Hasher struct {
	run   chan struct{}
	queue chan struct{}
	// dummy is what the passwords of unknown users are compared with.
	dummy string
	made  atomic.Int64
}

// Made is how many hashes were made so far.
func (h *Hasher) Made() int64 { return h.made.Load() }

// New returns a hasher.
func New() *Hasher {
	h := &Hasher{run: make(chan struct{}, running), queue: make(chan struct{}, running+waiting)}
	var nothing [keyLen]byte
	h.dummy = encode(make([]byte, saltLen), nothing[:])
	return h
}

// Check says what is wrong with a password that somebody chose.
func Check(password string) error {
	switch {
	case len(password) < minLen:
		return errs.New(errs.Invalid, "the password is too short: it needs at least %d characters", minLen)
	case len(password) > maxLen:
		return errs.New(errs.Invalid, "the password is too long: at most %d bytes", maxLen)
	case strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errs.New(errs.Invalid, "the password has a control character in it, which no client can send")
	}
	return nil
}

// Hash returns what to keep of a password.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := Check(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	release, err := h.take(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	h.made.Add(1)
	return encode(salt, argon2.IDKey([]byte(password), salt, passes, memory, threads, keyLen)), nil
}

// Same compares a password with a hash; empty is the hash of nobody, which takes
// as long and is never the same.
func (h *Hasher) Same(ctx context.Context, hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	p, err := decode(hash)
	if err != nil {
		return false, err
	}
	if len(password) > maxLen {
		password, known = password[:maxLen], false
	}
	release, err := h.take(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	h.made.Add(1)
	key := argon2.IDKey([]byte(password), p.salt, p.passes, p.memory, p.threads, keyLen)
	same := subtle.ConstantTimeCompare(key, p.key) == 1
	return same && known, nil
}

// take waits for its turn. Where too many wait already it is refused.
func (h *Hasher) take(ctx context.Context) (release func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, errs.New(errs.TooMany, "too many are signing in at once: try again in a moment")
	}
	select {
	case h.run <- struct{}{}:
		return func() { <-h.run; <-h.queue }, nil
	case <-ctx.Done():
		<-h.queue
		return nil, ctx.Err()
	}
}

// parts are what a hash is made of.
type parts struct {
	memory, passes uint32
	threads        uint8
	salt, key      []byte
}

// encode writes a hash in the form that argon2's own program prints.
func encode(salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, threads, b.EncodeToString(salt), b.EncodeToString(key))
}

func decode(hash string) (parts, error) {
	var p parts
	var version int
	bad := errs.New(errs.Internal, "a password's hash in the records cannot be read: set the password anew with `lus account passwd`")
	f := strings.Split(hash, "$")
	if len(f) != 6 || f[1] != "argon2id" {
		return p, bad
	}
	if _, err := fmt.Sscanf(f[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, bad
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.threads); err != nil ||
		p.memory == 0 || p.memory > maxMemory || p.passes == 0 || p.passes > maxPasses || p.threads == 0 {
		return p, bad
	}
	var serr, kerr error
	p.salt, serr = base64.RawStdEncoding.DecodeString(f[4])
	p.key, kerr = base64.RawStdEncoding.DecodeString(f[5])
	if serr != nil || kerr != nil || len(p.salt) != saltLen || len(p.key) != keyLen {
		return p, bad
	}
	return p, nil
}
