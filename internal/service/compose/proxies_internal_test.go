package compose

import (
	"slices"
	"testing"

	"lus/internal/model/build"
	"lus/internal/model/compose"
)

func TestProxiesGoWhereNoneAreSet(t *testing.T) {
	proxies := map[string]string{"HTTP_PROXY": "user's", "http_proxy": "user's", "NO_PROXY": "local"}
	own := []string{"A=1", "http_proxy=", "NO_PROXY"}
	if got := withProxies(own, proxies); !slices.Equal(got, []string{"A=1", "http_proxy=", "NO_PROXY", "HTTP_PROXY=user's"}) {
		t.Errorf("the environment is %q", got)
	}
	if len(own) != 3 || &withProxies(own, nil)[0] != &own[0] {
		t.Error("the service's own environment was changed, or copied for nothing")
	}
	mine := "mine"
	b := &build.Request{Args: map[string]*string{"HTTP_PROXY": &mine}}
	got := forUser(b, &compose.Project{Proxies: proxies})
	if len(got.Args) != 2 || *got.Args["HTTP_PROXY"] != "mine" || *got.Args["NO_PROXY"] != "local" || len(b.Args) != 1 {
		t.Errorf("the arguments are %v, the service's %v", got.Args, b.Args)
	}
}
