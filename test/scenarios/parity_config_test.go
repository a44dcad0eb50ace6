package scenarios

import "testing"

// What ~/.docker/config.json says beside credentials is heeded by both clients.

func TestParityProxies(t *testing.T) {
	const file = `mkdir -p c; printf '{"proxies":{"default":{"httpProxy":"http://me:secret@p:1","noProxy":"local","allProxy":"socks5://a"},"%s":{"httpsProxy":"http://mine","ftpProxy":"f"}}}' `
	const run = "DOCKER_CONFIG=c docker run --rm busybox env | grep -i proxy | sort"
	parity(t, []row{
		{do: file + "other >c/config.json; " + run, out: "ALL_PROXY=socks5://a\nHTTP_PROXY=http://me:secret@p:1\nNO_PROXY=local\nall_proxy=socks5://a\nhttp_proxy=http://me:secret@p:1\nno_proxy=local\n"},
		{do: "DOCKER_CONFIG=c docker create --name W-a busybox env >/dev/null; docker start -a W-a | grep -ic proxy", out: "6\n"},
		{do: "docker exec W-a env", err: "is not running", code: 1},
		{do: "DOCKER_CONFIG=c docker run -d --name W-b -e http_proxy=mine busybox sleep 300 >/dev/null; docker exec W-b env | grep -i http_proxy | sort", out: "HTTP_PROXY=http://me:secret@p:1\nhttp_proxy=mine\n"},
		{do: "DOCKER_CONFIG=c docker exec -e A=1 W-b env | grep -ic proxy", out: "6\n"},
		// This daemon's own entry wins over the default.
		{do: file + "$DOCKER_HOST >c/config.json; " + run, out: "FTP_PROXY=f\nHTTPS_PROXY=http://mine\nftp_proxy=f\nhttps_proxy=http://mine\n"},
		{do: "printf 'https_proxy=file\\nHTTP_PROXY=file\\n' >env; DOCKER_CONFIG=c docker run --rm --env-file env -e HTTPS_PROXY= -e FTP_PROXY busybox env | grep -i proxy | sort", out: "HTTPS_PROXY=\nHTTP_PROXY=file\nftp_proxy=f\nhttps_proxy=http://mine\n"},
		{do: "FTP_PROXY=own DOCKER_CONFIG=c docker run --rm -e FTP_PROXY busybox env | grep FTP", out: "FTP_PROXY=own\n"},
		{do: `mkdir -p b; printf 'FROM busybox\nRUN env | grep -i proxy | sort >/seen\n' >b/Dockerfile; DOCKER_CONFIG=c docker build -q -t W-img b >/dev/null 2>&1; docker run --rm W-img grep https_proxy /seen`, out: "https_proxy=http://mine\n"},
		{do: "docker run --rm W-img env | grep -ic proxy", out: "0\n", code: 1},
		{do: "docker history --no-trunc W-img | grep -c mine", out: "0\n", code: 1},
		{do: `printf 'FROM busybox\nRUN env | grep -i https_proxy= | sort -u >/seen\n' >b/Dockerfile; DOCKER_CONFIG=c docker build -q -t W-img --build-arg HTTPS_PROXY=given --build-arg https_proxy=given b >/dev/null 2>&1; docker run --rm W-img cat /seen`, out: "HTTPS_PROXY=given\nhttps_proxy=given\n"},
	})
}

func TestParityChosenFormats(t *testing.T) {
	const file = `mkdir -p c; echo '{"psFormat":"{{.Names}}!","imagesFormat":"{{.Tag}}!","networksFormat":"{{.Name}}!","volumesFormat":"table {{.Name}}","statsFormat":"{{.Name}}!"}' >c/config.json; export DOCKER_CONFIG=c; `
	parity(t, []row{
		{do: "docker run -d --name W-a busybox sleep 300 >/dev/null; docker tag busybox W-img:1; docker network create W-n >/dev/null; docker volume create W-v"},
		{do: file + "docker ps --filter name=W", out: "W-a!\n"},
		{do: file + "docker ps -a --filter name=W --format '{{.Image}}'", out: "busybox\n"},
		{do: file + "docker ps -q --filter name=W", out: "id\n"},
		{do: file + "docker ps -s --filter name=W", out: "W-a!\n"},
		{do: "docker ps -q --filter name=W --format '{{.Names}}'", out: "id\n", err: "Ignoring custom format, because both --format and --quiet are set."},
		{do: `mkdir -p c; echo '{"psFormat":"{{.Size}}"}' >c/config.json; DOCKER_CONFIG=c docker ps --filter name=W`, out: "(virtual "},
		{do: file + "docker images W-img", out: "1!\n"},
		{do: file + "docker images -q W-img", out: "id\n"},
		{do: file + "docker images W-img --format '{{.Repository}}'", out: "W-img\n"},
		{do: file + "docker network ls --filter name=W", out: "W-n!\n"},
		{do: file + "docker network ls -q --filter name=W", out: "id\n"},
		{do: file + "docker volume ls --filter name=W", out: "VOLUME NAME\nW-v\n"},
		{do: file + "docker volume ls -q --filter name=W", out: "W-v\n"},
		{do: file + "docker stats --no-stream W-a", out: "W-a!\n"},
		{do: file + "docker stats --no-stream --format '{{.PIDs}}' W-a", out: "1\n"},
		{do: `mkdir -p c; echo '{"psFormat":"{{"}' >c/config.json; DOCKER_CONFIG=c docker ps`, err: "unclosed action", code: 1},
		{do: `mkdir -p c; echo '{broken' >c/config.json; DOCKER_CONFIG=c docker ps -q --filter name=W`, out: "id\n", err: "WARNING: "},
	})
}

func TestParityChosenPruneFilters(t *testing.T) {
	const file = `mkdir -p c; export DOCKER_CONFIG=c; echo '{"pruneFilters":["until=24h","nonsense"]}' >c/config.json; `
	parity(t, []row{
		{do: "docker create --name W-a --label W busybox; docker create --name W-b --label W busybox >/dev/null"},
		{do: file + "docker container prune -f --filter label=W", out: "Total reclaimed space: 0B\n"},
		{do: file + "docker volume prune -f", err: "invalid filter 'until'", code: 1},
		{do: file + "echo n | docker system prune", out: "Items to be pruned will be filtered with:\n  - until=24h\n"},
		{do: `mkdir -p c; echo '{"pruneFilters":["label!=W"]}' >c/config.json; DOCKER_CONFIG=c docker container prune -f --filter label=W`, out: "Deleted Containers:\nID\nID\n"},
	})
}

func TestParityContexts(t *testing.T) {
	const file = `mkdir -p c; export DOCKER_CONFIG=c; echo '{"currentContext":"W-none"}' >c/config.json; `
	parity(t, []row{
		{do: file + "docker ps -q --filter name=W"},
		{do: file + "docker -H $DOCKER_HOST ps -q --filter name=W"},
		{do: file + "unset DOCKER_HOST LUS_HOST; docker ps", err: `context "W-none"`, code: 1},
		{do: "unset DOCKER_HOST LUS_HOST; DOCKER_CONTEXT=W-other docker ps", err: `context "W-other"`, code: 1},
		{do: file + "unset LUS_HOST; DOCKER_CONTEXT=W-other docker ps -q --filter name=W"},
	})
}
