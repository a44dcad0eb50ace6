// Package boot tells one boot of the machine from another.
package boot

import (
	"bytes"
	"fmt"
	"os"
	"sync"
)

// ID is this boot's: a random UUID that the kernel makes anew each time (36 bytes,
// random(4)).
var ID = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell which boot of the machine this is: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
})
