package certificate

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"lus/internal/base/errs"
)

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

// files are a certificate and a key that somebody else keeps.
type files struct {
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	seen   [2]stamp
	looked time.Time
}

// stamp tells whether a file is another than before.
type stamp struct {
	size int64
	time time.Time
	mode os.FileMode
}

func (f *files) stamps() (out [2]stamp) {
	for i, name := range []string{f.cert, f.key} {
		if st, err := os.Stat(name); err == nil {
			out[i] = stamp{st.Size(), st.ModTime(), st.Mode()}
		}
	}
	return out
}

// load reads both files.
func (f *files) load() error {
	seen := f.stamps()
	f.seen = seen // what cannot be used is not read again until it changes
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return errs.New(errs.Invalid, "the certificate %s with the key %s cannot be used: %w", f.cert, f.key, err)
	}
	if f.now().After(pair.Leaf.NotAfter) {
		f.log.Warn("the certificate is over: clients will refuse it", "certificate", f.cert, "until", pair.Leaf.NotAfter)
	}
	if seen[1].mode.Perm()&0o077 != 0 {
		f.log.Warn("others can read the key of the certificate: chmod 600 it", "key", f.key)
	}
	f.pair = &pair
	return nil
}

// current is the certificate as the files have it now, or the last one that
// could be used.
func (f *files) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked) >= lookEvery {
		f.looked = now
		if f.stamps() != f.seen {
			if err := f.load(); err != nil {
				f.log.Error("the former certificate stays in use", "error", err)
			} else {
				f.log.Info("the certificate was read anew", "certificate", f.cert)
			}
		}
	}
	return f.pair
}
