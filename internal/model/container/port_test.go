package container_test

import (
	"fmt"
	"strings"
	"testing"

	"lus/internal/model/container"
)

func TestParsePublish(t *testing.T) {
	for in, want := range map[string]string{
		"80":                   "[any 0-0 80/tcp]",
		"8080:80":              "[any 8080-8080 80/tcp]",
		"8080:80/udp":          "[any 8080-8080 80/udp]",
		"127.0.0.1:8080:80":    "[127.0.0.1 8080-8080 80/tcp]",
		"127.0.0.1::80":        "[127.0.0.1 0-0 80/tcp]",
		"[::1]:8080:80":        "[::1 8080-8080 80/tcp]",
		"8000-8002:80":         "[any 8000-8002 80/tcp]",
		"8000-8001:80-81":      "[any 8000-8000 80/tcp any 8001-8001 81/tcp]",
		"80-81":                "[any 0-0 80/tcp any 0-0 81/tcp]",
		"65535:65535":          "[any 65535-65535 65535/tcp]",
		"0:80":                 "[any 0-0 80/tcp]",
		"65530-65535:1-6/sctp": "[any 65530-65530 1/sctp any 65531-65531 2/sctp any 65532-65532 3/sctp any 65533-65533 4/sctp any 65534-65534 5/sctp any 65535-65535 6/sctp]",
	} {
		ports, err := container.ParsePublish(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var got []string
		for _, p := range ports {
			ip := "any"
			if p.HostIP.IsValid() {
				ip = p.HostIP.String()
			}
			got = append(got, fmt.Sprintf("%s %d-%d %s", ip, p.HostLo, p.HostHi, p.Port))
		}
		if s := fmt.Sprint(got); s != want {
			t.Errorf("%s: got %s, want %s", in, s, want)
		}
	}
}

func TestParsePublishSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                "invalid containerPort",
		"http":            "invalid containerPort",
		"8080:":           "invalid containerPort",
		"99999:80":        "invalid hostPort",
		"80:0":            "invalid containerPort",
		"8000-8001:80-82": "differ in length",
		"9-8:80":          "invalid hostPort",
		"80/icmp":         "tcp, udp or sctp",
		"1.2.3:80:80":     "invalid IP address",
		"0-65535:80":      "invalid hostPort",
	} {
		_, err := container.ParsePublish(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not say %q", in, err, want)
		}
	}
}

func FuzzParsePublish(f *testing.F) {
	for _, s := range []string{"80", "8080:80/udp", "127.0.0.1:1-3:4-6", "[::1]:1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := container.ParsePublish(s)
		if err == nil && len(ports) == 0 {
			t.Errorf("%q gave neither ports nor an error", s)
		}
	})
}
