package cli

import (
	"io"
	"os"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
)

// global are the flags before the command.
type global struct {
	host, config  string
	help, version bool
}

// parseGlobal reads the flags before the command, up to its name.
func parseGlobal(e *command.Env, args []string) (g global, rest []string, err error) {
	f := pflag.NewFlagSet(e.Program, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.SetInterspersed(false)
	f.StringVarP(&g.host, "host", "H", defaultHost(e), "")
	f.StringVar(&g.config, "config", "", "")
	f.BoolVarP(&g.version, "version", "v", false, "")
	f.BoolVarP(&g.help, "help", "h", false, "")
	refusedBefore(f)
	if err := f.Parse(args); err != nil {
		return g, nil, command.WrongFlag(err.Error(), "See '"+e.Program+" --help'.")
	}
	return g, f.Args(), nil
}

// defaultHost is the daemon that the environment names. Who calls this program
// docker may name it as docker's users do.
func defaultHost(e *command.Env) string {
	host := client.FromEnv(e.Err).Host
	if host == "" && e.Program == "docker" {
		host = os.Getenv("DOCKER_HOST")
	}
	return host
}

// theDefault refuses a context that docker's users chose: it would be another
// daemon than the one that answers here.
func theDefault(context string) error {
	where := "take currentContext out of Docker's config.json"
	if name := os.Getenv("DOCKER_CONTEXT"); name != "" {
		context, where = name, "unset DOCKER_CONTEXT"
	}
	if context == "" || context == "default" {
		return nil
	}
	return errs.New(errs.Unsupported, "the context %q cannot be had: name its daemon by -H or DOCKER_HOST, or, for this host's, %s", context, where)
}

// apply makes the flags hold for this program.
func (g global) apply(e *command.Env) (err error) {
	if g.config != "" {
		if err := os.Setenv("DOCKER_CONFIG", g.config); err != nil {
			return err
		}
	}
	if g.host == "" && e.Program == "docker" {
		if err := theDefault(e.Config().CurrentContext); err != nil {
			return err
		}
	}
	o := client.FromEnv(e.Err)
	if o.Host = g.host; o.Host != "" {
		o.Header = e.Config().HTTPHeaders
	}
	e.Client, err = client.New(o)
	return err
}
