package spec

import (
	"fmt"
	"strconv"
	"strings"

	"lus/internal/model/container"
	"lus/internal/model/task"
)

// NoLog is the log driver of containers whose output is not kept.
const NoLog = "none"

// What of the output of a container without a log lies on the disk while it
// runs, for whoever is attached and reads it a moment later.
const (
	passingSize  = 8 << 20
	passingFiles = 2
)

// localSize is what the driver local bounds a file to where nothing is said.
const localSize = 20 << 20

// checkLog: output is kept in Lus's own log, which the names of Docker's
// default drivers stand for, or not at all.
func checkLog(l container.LogConfig) error {
	switch l.Type {
	case "", "json-file", "local", "lus":
	case NoLog:
		if len(l.Config) > 0 {
			return invalid("invalid logging opts for driver none")
		}
	default:
		return unsupported("logger: no log driver named '%s' is registered; use json-file or local, which both mean Lus's own log, or none", l.Type)
	}
	_, err := Log(l)
	return err
}

// Log is what a driver and its options mean for the keeper, but for the path.
// What labels and env name is looked up when somebody reads the log with its
// details.
func Log(l container.LogConfig) (task.Log, error) {
	var out task.Log
	switch l.Type {
	case NoLog:
		return task.Log{MaxSize: passingSize, MaxFiles: passingFiles}, nil
	case "local":
		out.MaxSize = localSize
	}
	for k, v := range l.Config {
		if err := logOption(&out, l.Type, k, v); err != nil {
			return task.Log{}, err
		}
	}
	return out, nil
}

func logOption(out *task.Log, driver, k, v string) (err error) {
	switch k {
	case "max-size":
		if out.MaxSize, err = parseSize(v); err != nil {
			return invalid("invalid log opt max-size: %q; write a number with k, m or g", v)
		}
	case "max-file":
		if out.MaxFiles, err = strconv.Atoi(v); err != nil || out.MaxFiles < 1 {
			return invalid("invalid log opt max-file: %q; it must be 1 or more", v)
		}
	case "compress":
		on, err := strconv.ParseBool(v)
		if err != nil {
			return invalid("invalid log opt compress: %q; it is true or false", v)
		}
		if on {
			return unsupported("log opt compress=true is not supported: bound what is kept by max-size and max-file")
		}
	case "mode":
		if v != "blocking" && v != "non-blocking" {
			return invalid("logger: logging mode is not valid: %s", v)
		}
		out.Drop = v == "non-blocking"
	case "labels", "env":
	default:
		return unsupported("unknown log opt '%s' for %s log driver; known are max-size, max-file, compress, mode, labels and env", k, driver)
	}
	return nil
}

func parseSize(s string) (int64, error) {
	s = strings.TrimSuffix(strings.ToLower(s), "b")
	unit := int64(1)
	for suffix, u := range map[string]int64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = rest, u
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > 1<<50/unit {
		return 0, fmt.Errorf("not a size: %q", s)
	}
	return n * unit, nil
}
