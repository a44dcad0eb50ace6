package account

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lus/internal/base/atomicfile"
	"lus/internal/base/errs"
)

const keyLen = 32

// signingKey reads the key at path, or makes one. Without it every bearer token
// is worth nothing, and clients fetch new ones.
func signingKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil {
		if len(key) != keyLen {
			return nil, errs.New(errs.Internal, "the key %s has %d bytes and not %d: remove it, and another is made", path, len(key), keyLen)
		}
		return key, os.Chmod(path, 0o600)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	key = make([]byte, keyLen)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	if err := atomicfile.Write(path, key, 0o600, atomicfile.Power); err != nil {
		return nil, fmt.Errorf("keeping the key of tokens: %w", err)
	}
	return key, nil
}
