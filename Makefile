# What one does with Lus, each in one word. `make help` lists them.
#
# Everything is compiled with the same flags, so that build, vet, lint and test
# share one build cache; only the race detector needs cgo and its own.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The builder says which BuildKit it is: clients ask.
BUILDKIT := $(shell sed -n 's,^\tgithub.com/moby/buildkit ,,p' go.mod)
LDFLAGS := -s -w -X lus/internal/base/version.number=$(VERSION) -X github.com/moby/buildkit/version.Version=$(BUILDKIT)

export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
export LC_ALL := C.UTF-8

# Packages whose tests are about our own concurrency run under the race
# detector. The rest is kernel work or links BuildKit, for which the detector
# costs minutes of compiling and sees little.
RACE := ./internal/base/... ./internal/model/... ./internal/api/... ./internal/client/... \
	./internal/cli/... ./internal/composefile/... ./internal/store/logs/... \
	./internal/store/sqlite/... ./internal/service/compose/... ./internal/service/engine/... ./internal/service/account/... ./internal/service/certificate \
	./internal/linux/dns/... ./internal/linux/firewall

INIT := internal/linux/init/built/init

.PHONY: build demo demo-stop test test-race test-vm conformance fuzz bench lint base-images clean help

build: $(INIT) ## compile everything into bin/
	@scripts/need build
	@mkdir -p bin
	@go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

$(INIT): $(wildcard internal/linux/init/src/*.[ch] internal/linux/init/build.sh)
	@scripts/need build
	@internal/linux/init/build.sh

demo: build ## from a bare checkout to a running app with a database
	@scripts/demo

demo-stop: ## stop the demo; its data stays (make demo-stop VOLUMES=1 removes it)
	@scripts/demo --stop $(if $(VOLUMES),--volumes)

base-images: build ## debian:bookworm-slim and busybox, pulled or made from packages
	@LUS=bin/lus scripts/base-images

test: build ## check and test everything; kernel tests and scenarios need root
	@scripts/need test
	@scripts/lint
	@scripts/test $(RACE)

test-race: build ## only the tests under the race detector
	@CGO_ENABLED=1 go test -race $(RACE)

test-vm: build ## a smoke suite on a stock Debian 12 in QEMU (minutes)
	@scripts/vm $(if $(VM),'$(VM)')

conformance: build ## BuildKit's own tests of Dockerfiles, against our builder (minutes)
	@test/conformance/buildkit/run $(CASE)

fuzz: $(INIT) ## every fuzz target, ten minutes each (FUZZTIME=1m, FUZZ=pattern)
	@scripts/fuzz $(if $(FUZZ),'$(FUZZ)')

lint: build ## gofmt, vet, golangci-lint
	@scripts/lint

bench: build ## measure Lus, the kernel's floor and what else runs containers here
	@scripts/need bench
	@go run ./test/bench $(BENCH)

clean: ## remove what was built
	@rm -rf bin $(INIT)

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
