package engine

import (
	"context"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/dockerfile/version"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/gateway"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/worker"
	"github.com/opencontainers/go-digest"
)

// The names of frontends.
const (
	frontendDockerfile = "dockerfile.v0"
	frontendImage      = "gateway.v0"
)

func openFrontends(o Options, workers *worker.Controller) (map[string]frontend.Frontend, error) {
	out := map[string]frontend.Frontend{}
	if o.Frontends != nil {
		out = o.Frontends(workers.Infos())
	}
	out[frontendDockerfile] = forwarder.NewGatewayForwarder(workers.Infos(), buildDockerfile)
	external, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	out[frontendImage] = external
	return out, nil
}

// The answers of a Dockerfile's frontend to questions that build nothing, and
// what begins the keys under which they reach the one who asked for the solve.
const (
	answerJSON   = "result.json"
	answerText   = "result.txt"
	answerStatus = "result.statuscode"
	answerPrefix = "frontend."
)

// QuestionDockerfile asks for the Dockerfile's text, wherever it is.
const QuestionDockerfile = "lus.dockerfile"

// readDockerfile answers that question.
func readDockerfile(ctx context.Context, c gwclient.Client) (*gwclient.Result, error) {
	ui, err := dockerui.NewClient(c)
	if err != nil {
		return nil, err
	}
	src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return nil, err
	}
	res := gwclient.NewResult()
	res.AddMeta(answerPrefix+answerText, src.Data)
	return res, nil
}

// buildDockerfile is the frontend for Dockerfiles. It stands for the images of
// itself that Dockerfiles name by "# syntax=", and hands on its answers to
// questions (BuildKit does so only for keys with the prefix).
func buildDockerfile(ctx context.Context, c gwclient.Client) (*gwclient.Result, error) {
	if c.BuildOpts().Opts["requestid"] == QuestionDockerfile {
		return readDockerfile(ctx, c)
	}
	res, err := dockerfile.Build(ctx, builtIn{c})
	if err != nil || res == nil {
		return res, err
	}
	for _, key := range []string{answerJSON, answerText, answerStatus} {
		if v, ok := res.Metadata[key]; ok {
			res.AddMeta(answerPrefix+key, v)
		}
	}
	return res, nil
}

// AttrHere is the attribute with the images that are this host's own, separated by
// commas: no registry is asked for newer ones.
const AttrHere = "lus.here"

// builtIn answers for frontends that this daemon has in itself, and for images that
// are nowhere else.
type builtIn struct{ gwclient.Client }

// ResolveImageConfig implements gateway client.Client.
func (b builtIn) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if opt.ImageOpt != nil && b.here(ref) {
		local := *opt.ImageOpt
		local.ResolveMode = pb.AttrImageResolveModePreferLocal
		opt.ImageOpt = &local
	}
	return b.Client.ResolveImageConfig(ctx, ref, opt)
}

func (b builtIn) here(ref string) bool {
	for name := range strings.SplitSeq(b.BuildOpts().Opts[AttrHere], ",") {
		if named, err := reference.ParseNormalizedNamed(name); err == nil && reference.TagNameOnly(named).String() == ref {
			return true
		}
	}
	return false
}

// Solve implements gateway client.Client.
func (b builtIn) Solve(ctx context.Context, req gwclient.SolveRequest) (*gwclient.Result, error) {
	if req.Frontend == frontendImage && isBuiltIn(req.FrontendOpt[frontend.KeySource]) {
		req.Frontend = frontendDockerfile
	}
	return b.Client.Solve(ctx, req)
}

// isBuiltIn reports whether an image of a frontend is docker/dockerfile of a
// version that the one inside this daemon fulfils: then nothing is pulled, and
// Dockerfiles that begin with "# syntax=docker/dockerfile:1" build offline. A
// digest means that very image; channels such as labs have what ours has not.
func isBuiltIn(image string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil || named.Name() != "docker.io/docker/dockerfile" {
		return false
	}
	if _, ok := named.(reference.Digested); ok {
		return false
	}
	tag := "latest"
	if t, ok := named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	if tag == "latest" {
		return true
	}
	asked, ok := numbers(tag)
	have, _ := numbers(strings.SplitN(version.Version(), "-", 2)[0])
	if !ok || len(asked) > 3 || asked[0] != have[0] {
		return false
	}
	// 1.7.3 is asked of 1.28.0: what came after kept what was before.
	return len(asked) < 2 || asked[1] <= have[1]
}

// numbers reads "1.28.0".
func numbers(text string) ([]int, bool) {
	var out []int
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}
