package registry

import (
	"path/filepath"

	"github.com/spf13/pflag"

	"lus/internal/model/registry"
)

// tlsFlags registers the flags about TLS. What it returns changes the settings
// where one of them was given, and leaves them else.
func tlsFlags(f *pflag.FlagSet) func(*registry.TLS) error {
	cert := f.String("tls-cert", "", "Certificate of this host, with what vouches for it; read again when it changes")
	key := f.String("tls-key", "", "Key of that certificate")
	always := f.Bool("tls", false, "With a certificate of Lus's own authority (the default but on loopback)")
	names := f.StringArray("tls-name", nil, "Another name or address of this host, for that certificate")
	never := f.Bool("insecure", false, "Without TLS, although other hosts reach it")
	return func(t *registry.TLS) error {
		given := false
		for _, name := range []string{"tls-cert", "tls-key", "tls", "tls-name", "insecure"} {
			given = given || f.Changed(name)
		}
		if !given {
			return nil
		}
		*t = registry.TLS{Certificate: *cert, Key: *key, Always: *always, Never: *never, Names: *names}
		for _, path := range []*string{&t.Certificate, &t.Key} {
			if *path == "" {
				continue
			}
			abs, err := filepath.Abs(*path)
			if err != nil {
				return err
			}
			*path = abs
		}
		return nil
	}
}
