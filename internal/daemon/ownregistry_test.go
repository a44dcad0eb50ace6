package daemon

import "testing"

// What leads to our own listener is pushed to without a connection; what might
// be another's is not taken for it.
func TestWhichNamesAreOurOwnRegistry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at, host string
		want     bool
	}{
		{"127.0.0.1:5000", "localhost:5000", true},
		{"127.0.0.1:5000", "127.0.0.1:5000", true},
		{"127.0.0.1:5000", "[::1]:5000", true},
		{"127.0.0.1:5000", "localhost:5001", false},
		{"127.0.0.1:5000", "127.0.0.2:5000", false},
		{"127.0.0.1:5000", "192.0.2.1:5000", false},
		{"127.0.0.1:5000", "nobody.invalid:5000", false},
		{"127.0.0.1:5000", "localhost", false},
		{"127.0.0.1:443", "localhost", true},
		{"0.0.0.0:5000", "127.0.0.1:5000", true},
		{"[::]:5000", "localhost:5000", true},
		{"0.0.0.0:5000", "192.0.2.1:5000", false},
		{"", "localhost:5000", false},
	} {
		o := &ownRegistry{listener: &registryListener{at: c.at}}
		if got := o.Serves(t.Context(), c.host); got != c.want {
			t.Errorf("%s at %q: %v", c.host, c.at, got)
		}
	}
	if (&ownRegistry{}).Serves(t.Context(), "localhost:5000") {
		t.Error("one that is not there yet")
	}
}
