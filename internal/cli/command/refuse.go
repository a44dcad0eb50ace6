package command

import (
	"context"
	"os"
	"strconv"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

// Refuse registers a flag of docker's that means nothing here, so that who types
// it is told why and nobody takes it for a slip of the pen. What asks for
// nothing (empty, 0, false) passes.
func Refuse(f *pflag.FlagSet, name, why string) { RefuseP(f, name, "", why) }

// RefuseP is Refuse for a flag that has a letter too.
func RefuseP(f *pflag.FlagSet, name, letter, why string) {
	f.VarP(&refusal{name, why}, name, letter, "Not supported: "+why)
	_ = f.MarkHidden(name)
}

// RefuseSwitch is Refuse for a flag that stands without a value.
func RefuseSwitch(f *pflag.FlagSet, name, why string) { RefuseSwitchP(f, name, "", why) }

// RefuseSwitchP is RefuseSwitch for a flag that has a letter too.
func RefuseSwitchP(f *pflag.FlagSet, name, letter, why string) {
	RefuseP(f, name, letter, why)
	f.Lookup(name).NoOptDefVal = "true"
}

// refusal is the value of a flag that cannot be had.
type refusal struct{ name, why string }

// Set refuses every value but those that ask for nothing.
func (r *refusal) Set(v string) error {
	switch {
	case v == "" || v == "0" || v == "false":
		return nil
	case v == "default" && (r.name == "isolation" || r.name == "context"), v == "info" && r.name == "log-level":
		return nil
	}
	return errs.New(errs.Unsupported, "--%s is not supported: %s", r.name, r.why)
}

// String is the value: there is none.
func (r *refusal) String() string { return "" }

// Type is what the help shows.
func (r *refusal) Type() string { return "value" }

// DisableContentTrust registers the flag of that name: on, as docker has it, and
// not to be switched off.
func DisableContentTrust(f *pflag.FlagSet) {
	Always(f, contentTrust, "signatures of images are not checked")
}

const contentTrust = "disable-content-trust"

// untrusting refuses what would take images, where the environment asks docker for
// signed ones only, and the flag does not say otherwise.
func untrusting(f *pflag.FlagSet) error {
	asked := os.Getenv("DOCKER_CONTENT_TRUST")
	if flag := f.Lookup(contentTrust); asked == "" || flag == nil || flag.Changed {
		return nil
	}
	if on, err := strconv.ParseBool(asked); err == nil && !on {
		return nil
	}
	return errs.New(errs.Unsupported, "DOCKER_CONTENT_TRUST=%s is not supported: signatures of images are not checked; unset it, or say --%s, and name images by digest to know what you get", asked, contentTrust)
}

// Always registers a switch of docker's that is on here, and refuses to be
// switched off.
func Always(f *pflag.FlagSet, name, why string) {
	f.Var(always{name, why}, name, "Always so: "+why)
	f.Lookup(name).NoOptDefVal = "true"
	_ = f.MarkHidden(name)
}

type always struct{ name, why string }

// Set takes nothing but true.
func (a always) Set(v string) error {
	if on, err := strconv.ParseBool(v); err != nil || !on {
		return errs.New(errs.Unsupported, "--%s=%s is not supported: %s", a.name, v, a.why)
	}
	return nil
}

// String is the value.
func (always) String() string { return "true" }

// Type is what the help shows.
func (always) Type() string { return "bool" }

// Refused is a command of docker's that is not had here. It takes whatever is
// typed behind it and says why.
func Refused(name, why string) Command {
	return Command{
		Name: name, Args: "[ARG...]", Short: "Not supported: " + why, Example: name, Min: 0, Max: -1, Rest: true,
		Flags: func(_ *Env, f *pflag.FlagSet) Do {
			f.ParseErrorsAllowlist.UnknownFlags = true
			return func(context.Context, []string) error {
				return errs.New(errs.Unsupported, "%s is not supported: %s", name, why)
			}
		},
	}
}
