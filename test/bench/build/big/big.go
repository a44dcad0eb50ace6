// Package big writes the context of the big build.
package big

import (
	_ "embed" // the Dockerfile
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// The context: files of the same size in folders, and one that changes.
const (
	Folders = 100
	Files   = 100 // in each folder
	size    = 13400
	Changes = "changes" // the file that a change alters
)

//go:embed Dockerfile
var dockerfile []byte

// Write makes a folder with the Dockerfile and 10,001 files of 134 MB, the same
// bytes each time.
func Write(dir string) error {
	if err := Tree(dir, Folders, Files, size); err != nil {
		return err
	}
	if err := Change(dir, "nothing yet"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Dockerfile"), dockerfile, 0o644)
}

// Tree writes folders of files of this many bytes that no compression shrinks.
func Tree(dir string, folders, files, bytes int) error {
	source := rand.NewChaCha8([32]byte{1})
	data := make([]byte, bytes)
	for d := range folders {
		folder := filepath.Join(dir, strconv.Itoa(d))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		for f := range files {
			_, _ = source.Read(data) // never fails
			if err := os.WriteFile(filepath.Join(folder, strconv.Itoa(f)), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// Change alters the one file that changes.
func Change(dir, text string) error {
	return os.WriteFile(filepath.Join(dir, Changes), []byte(text+"\n"), 0o644)
}
