package keeper

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel can tell of an end before it hands out what was said last: it looks
// for a message first, and whether the other side is closed afterwards. What was
// said is the reason of a failure and must not be lost.
func TestAnEndIsBelievedTheSecondTime(t *testing.T) {
	reason := "E\x02\x00\x00\x00exec /no/such"
	for name, said := range map[string][]string{
		"an end, the reason, the end":     {"", reason, ""},
		"the reason, then the end":        {reason, "", ""},
		"ready, an end, the reason, ends": {"R", "", reason, ""},
	} {
		null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		s, p := &server{}, &proc{status: null}
		calls := 0
		s.readStatus(p, func(_ int, b, _ []byte, _ int) (int, int, int, unix.Sockaddr, error) {
			if calls++; calls > len(said) {
				t.Fatalf("%s: read on behind the end", name)
			}
			return copy(b, said[calls-1]), 0, 0, nil, nil
		})
		if p.failure == nil || p.failure.Errno != 2 || p.failure.Step != "exec /no/such" {
			t.Errorf("%s: the reason is %v", name, p.failure)
		}
		if p.status != -1 || calls != len(said) {
			t.Errorf("%s: %d of %d were read, and the socket is %d", name, calls, len(said), p.status)
		}
	}
}
