package container

import (
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/container"
)

func (o *options) devicesIO(f *pflag.FlagSet) {
	command.ListVar(f, &o.weightDevices, "blkio-weight-device", "Weight for one device: path:weight")
	command.ListVar(f, &o.readBps, "device-read-bps", "Bytes a second read from a device, as /dev/sda:1mb")
	command.ListVar(f, &o.writeBps, "device-write-bps", "Bytes a second written to a device, as /dev/sda:1mb")
	command.ListVar(f, &o.readIOps, "device-read-iops", "Reads a second from a device, as /dev/sda:1000")
	command.ListVar(f, &o.writeIOps, "device-write-iops", "Writes a second to a device, as /dev/sda:1000")
}

// fillBlkio reads the limits of I/O on single devices.
func (o *options) fillBlkio(h *container.HostConfig) error {
	for _, s := range o.weightDevices {
		path, value, err := deviceLimit(s)
		if err != nil {
			return err
		}
		w, err := strconv.ParseUint(value, 10, 16)
		if err != nil || w > 0 && (w < 10 || w > 1000) {
			return invalid("invalid weight for device: %s", s)
		}
		h.BlkioWeightDevice = append(h.BlkioWeightDevice, container.DeviceWeight{Path: path, Weight: uint16(w)})
	}
	for _, l := range []struct {
		from  []string
		to    *[]container.DeviceRate
		bytes bool
	}{{o.readBps, &h.BlkioDeviceReadBps, true}, {o.writeBps, &h.BlkioDeviceWriteBps, true}, {o.readIOps, &h.BlkioDeviceReadIOps, false}, {o.writeIOps, &h.BlkioDeviceWriteIOps, false}} {
		for _, s := range l.from {
			path, value, err := deviceLimit(s)
			if err != nil {
				return err
			}
			rate, err := strconv.ParseUint(value, 10, 64)
			if l.bytes {
				var n int64
				n, err = units.RAMInBytes(value)
				rate = uint64(max(n, 0))
			}
			if err != nil {
				return invalid("invalid rate for device: %s; write path:number, as /dev/sda:1mb for bytes", s)
			}
			*l.to = append(*l.to, container.DeviceRate{Path: path, Rate: rate})
		}
	}
	return nil
}

// deviceLimit reads path:value of a device.
func deviceLimit(s string) (path, value string, err error) {
	path, value, _ = strings.Cut(s, ":")
	if value == "" || !strings.HasPrefix(path, "/dev/") {
		return "", "", invalid("bad format for device limit: %s; write /dev/NAME:value", s)
	}
	return path, value, nil
}
