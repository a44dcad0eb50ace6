package runtime

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzMountOptions: whatever stands among a mount's options, it is refused or
// sorted into what the kernel can be asked for without contradiction.
func FuzzMountOptions(f *testing.F) {
	f.Add("rbind,ro,rprivate,nosuid")
	f.Add("size=64k,mode=1777,exec,noexec")
	f.Add("noatime,relatime,strictatime,,=,x=,=y")
	f.Add("suid,nosuid,dev,nodev,bind,a=b")
	f.Add("a\x00b")
	f.Fuzz(func(t *testing.T, text string) {
		list := strings.Split(text, ",")
		o, err := parseOptions(list)
		if err != nil {
			return
		}
		if strings.Contains(text, "\x00") {
			t.Error("a zero byte was accepted")
		}
		// The times are one field, which is cleared whole before it is set.
		if both := o.attributes & o.clear &^ unix.MOUNT_ATTR__ATIME; both != 0 {
			t.Errorf("%#x is both set and cleared", both)
		}
		if times := o.clear & unix.MOUNT_ATTR__ATIME; times != 0 && times != unix.MOUNT_ATTR__ATIME || o.attributes&unix.MOUNT_ATTR__ATIME != 0 && times == 0 {
			t.Errorf("times: %#x set, %#x cleared, which the kernel refuses", o.attributes, o.clear)
		}
		if o.bind && len(o.data) != 0 {
			t.Errorf("a bind has options of a file system: %v", o.data)
		}
		known := 0
		for _, s := range list {
			_, attribute := attributes[s]
			_, propagation := propagations[s]
			if attribute || propagation || s == "bind" || s == "rbind" {
				known++
			}
		}
		if known+len(o.data) != len(list) {
			t.Errorf("%q: %d are known and %d the file system's, of %d", list, known, len(o.data), len(list))
		}
	})
}
