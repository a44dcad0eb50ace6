package thread_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lus/internal/base/thread"
)

// One thread of all has the slack: not the first, and none that others are
// started from.
func TestEaseMonitorIsOfOneThread(t *testing.T) {
	thread.EaseMonitor(1234567 * time.Nanosecond)
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	var eased []string
	for _, dir := range threads {
		tid := filepath.Base(dir)
		slack, err := os.ReadFile("/proc/" + tid + "/timerslack_ns")
		if err == nil && strings.TrimSpace(string(slack)) == "1234567" {
			eased = append(eased, tid)
		}
	}
	if len(eased) > 1 {
		t.Errorf("threads %v have the slack", eased)
	}
	if os.Geteuid() == 0 && len(eased) != 1 {
		t.Errorf("%d of the threads %v has it", len(eased), threads)
	}
}
