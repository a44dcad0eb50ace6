package spec

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/model/container"
)

// BlockIO converts the limits of I/O to devices. A device that is not there, or
// no block device, is refused: its limit would limit nothing.
func BlockIO(r *container.Resources) (*specs.LinuxBlockIO, error) {
	out := &specs.LinuxBlockIO{}
	if r.BlkioWeight > 0 {
		w := r.BlkioWeight
		out.Weight = &w
	}
	for _, d := range r.BlkioWeightDevice {
		if d.Weight != 0 && (d.Weight < 10 || d.Weight > 1000) {
			return nil, invalid("range of blkio weight is from 10 to 1000")
		}
		major, minor, err := blockDevice(d.Path)
		if err != nil {
			return nil, err
		}
		w := specs.LinuxWeightDevice{Weight: &d.Weight}
		w.Major, w.Minor = major, minor
		out.WeightDevice = append(out.WeightDevice, w)
	}
	for _, t := range []struct {
		from []container.DeviceRate
		to   *[]specs.LinuxThrottleDevice
	}{
		{r.BlkioDeviceReadBps, &out.ThrottleReadBpsDevice}, {r.BlkioDeviceWriteBps, &out.ThrottleWriteBpsDevice},
		{r.BlkioDeviceReadIOps, &out.ThrottleReadIOPSDevice}, {r.BlkioDeviceWriteIOps, &out.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.from {
			major, minor, err := blockDevice(d.Path)
			if err != nil {
				return nil, err
			}
			l := specs.LinuxThrottleDevice{Rate: d.Rate}
			l.Major, l.Minor = major, minor
			*t.to = append(*t.to, l)
		}
	}
	if out.Weight == nil && out.WeightDevice == nil && out.ThrottleReadBpsDevice == nil && out.ThrottleWriteBpsDevice == nil &&
		out.ThrottleReadIOPSDevice == nil && out.ThrottleWriteIOPSDevice == nil {
		return nil, nil
	}
	return out, nil
}

func blockDevice(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, invalid("device %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, invalid("device %s is no block device: only their I/O can be limited", path)
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}
