package container

import (
	"strconv"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

// refusals are docker's flags that mean nothing here, and why.
func refusals() map[string]string {
	const windows = "it is for containers of Windows"
	return map[string]string{
		"cpu-count": windows, "cpu-percent": windows, "io-maxbandwidth": windows, "io-maxiops": windows, "isolation": windows,
		"gpus":           "Lus has no driver for GPUs: pass the device nodes with --device",
		"kernel-memory":  "kernels no longer have this limit: use --memory",
		"use-api-socket": "mount the daemon's socket with -v where you trust the container with the whole host",
	}
}

// refused registers the flags that are refused with a reason, so that nobody
// takes them for a slip of the pen.
func refused(f *pflag.FlagSet) {
	for name, why := range refusals() {
		f.Var(&refusal{name, why}, name, "Not supported: "+why)
		_ = f.MarkHidden(name)
	}
	f.Lookup("use-api-socket").NoOptDefVal = "true"
	f.Var(untrusted{}, "disable-content-trust", "Skip the check of signatures, which there is none of")
	f.Lookup("disable-content-trust").NoOptDefVal = "true"
	_ = f.MarkHidden("disable-content-trust")
}

// refusal is the value of a flag that cannot be had.
type refusal struct{ name, why string }

// Set refuses every value but those that ask for nothing.
func (r *refusal) Set(v string) error {
	if v == "" || v == "0" || v == "false" || r.name == "isolation" && v == "default" {
		return nil
	}
	return errs.New(errs.Unsupported, "--%s is not supported: %s", r.name, r.why)
}

// String is the value: there is none.
func (r *refusal) String() string { return "" }

// Type is what the help shows.
func (r *refusal) Type() string { return "value" }

// untrusted is --disable-content-trust: on, as docker has it, and not to be
// switched off.
type untrusted struct{}

// Set refuses to check what cannot be checked.
func (untrusted) Set(v string) error {
	if on, err := strconv.ParseBool(v); err != nil || !on {
		return errs.New(errs.Unsupported, "--disable-content-trust=%s is not supported: signatures of images are not checked", v)
	}
	return nil
}

// String is the value.
func (untrusted) String() string { return "true" }

// Type is what the help shows.
func (untrusted) Type() string { return "bool" }
