package registry

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/spf13/pflag"

	"lus/internal/base/atomicfile"
	"lus/internal/cli/command"
	"lus/internal/model/registry"
)

func caCommand() command.Command {
	return command.Command{
		Name: "ca", Short: "Print the certificate that clients have to trust, and say where they want it",
		Example: "registry ca -o ca.crt", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			file := f.StringP("output", "o", "", "Write it to this file")
			return func(ctx context.Context, _ []string) error {
				var a registry.Authority
				if err := call(ctx, e, "GET", "ca", nil, nil, &a); err != nil {
					return err
				}
				var st registry.Status
				if err := call(ctx, e, "GET", "status", nil, nil, &st); err != nil {
					return err
				}
				if *file != "" {
					if err := atomicfile.Write(*file, []byte(a.Certificate), 0o644, atomicfile.Crash); err != nil {
						return err
					}
				} else {
					fmt.Fprint(e.Out, a.Certificate)
				}
				tell(e, &st)
				return nil
			}
		},
	}
}

// tell says where clients look for the certificate. It goes beside it, so that
// the certificate alone can be piped on.
func tell(e *command.Env, st *registry.Status) {
	at := where(st)
	fmt.Fprintf(e.Err, `On each client, as ca.crt:
  docker   /etc/docker/certs.d/%[1]s/ca.crt
  podman   /etc/containers/certs.d/%[1]s/ca.crt (skopeo and buildah too)
  the rest /usr/local/share/ca-certificates/lus.crt, then update-ca-certificates
`, at)
}

// where is how other hosts call the listener.
func where(st *registry.Status) string {
	host, port := split(st.Listening, st.Address)
	if len(st.TLS.Names) > 0 {
		host = st.TLS.Names[0]
	} else if name, err := os.Hostname(); err == nil && (host == "0.0.0.0" || host == "::" || host == "") {
		host = name
	}
	return net.JoinHostPort(host, port)
}

// split takes the first address that is one apart.
func split(addresses ...string) (host, port string) {
	for _, a := range addresses {
		if host, port, err := net.SplitHostPort(a); err == nil {
			return host, port
		}
	}
	return "", "5000"
}
