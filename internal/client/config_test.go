package client

import (
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestProxiesAreThoseOfTheDaemonOrTheDefault(t *testing.T) {
	config(t, `{"proxies":{"default":{"httpProxy":"h","noProxy":"n"},"tcp://far:1":{"allProxy":"a"},"tcp://bare:1":{}}}`)
	c, err := ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]Variable{
		"unix:///here": {{"HTTP_PROXY", "h"}, {"http_proxy", "h"}, {"NO_PROXY", "n"}, {"no_proxy", "n"}},
		"tcp://far:1":  {{"ALL_PROXY", "a"}, {"all_proxy", "a"}},
		"tcp://bare:1": nil,
	} {
		if got := c.ProxyVariables(host); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
}

func TestABrokenConfigurationIsToldWithoutWhatItHolds(t *testing.T) {
	for _, text := range []string{`{"proxies":{"default":{"httpProxy":"http://me:secret@p"`, `{"proxies":{"default":"http://me:secret@p"}}`} {
		dir := config(t, text)
		_, err := ReadConfig()
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "config.json")) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestChosenHeadersGoWithEachRequest(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heads := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		heads <- string(buf[:n])
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	}()
	c, err := New(Options{Host: "unix://" + socket, Header: map[string]string{"X-Meta": "a b", "content-LENGTH": "9", "Host": "evil"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Call(t.Context(), Request{Method: "GET", Path: "/_ping"}, nil); err != nil {
		t.Fatal(err)
	}
	if head := <-heads; !strings.Contains(head, "\r\nX-Meta: a b\r\n") || strings.Contains(head, "9") || strings.Contains(head, "evil") {
		t.Errorf("the request was %q", head)
	}
}

func TestHeadersThatWouldBeOthersAreRefused(t *testing.T) {
	for name, value := range map[string]string{"": "v", "a b": "v", "a:": "v", "X": "v\r\nY: secret", "Ä": "v"} {
		_, err := New(Options{Host: "unix:///s", Header: map[string]string{name: value}})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q gives %v", name, value, err)
		}
	}
}
