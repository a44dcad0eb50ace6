package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

const cdiSpec = `cdiVersion: "0.6.0"
kind: "lus.example/dev"
devices:
- name: zero
  annotations: {org.mobyproject.buildkit.device.autoallow: "true"}
  containerEdits:
    deviceNodes: [{path: /dev/extra, hostPath: /dev/zero}]
    env: [FOUND=zero]
    mounts: [{hostPath: %DIR%, containerPath: /vendor, options: [ro, nosuid, nodev, bind]}]
- name: hooked
  containerEdits:
    hooks: [{hookName: createContainer, path: /bin/true}]
- name: guarded
  containerEdits:
    env: [FOUND=guarded]
`

// Devices that vendors describe are had by their names (the Container Device
// Interface): in containers, services and build steps, and with docker's client.
func TestDevicesByName(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	dir := filepath.Join(filepath.Dir(s.Root), "cdi")
	write(t, filepath.Join(dir, "lib"), "of the vendor\n")
	write(t, filepath.Join(s.Root, "daemon.json"), `{"cdi-spec-dirs": ["`+dir+`"]}`)
	s.StartDaemon(t)
	s.ImportBusybox(t)
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--device", "lus.example/dev=zero", stack.Busybox, "true"), "unresolvable CDI devices lus.example/dev=zero", "there are: none")
	write(t, filepath.Join(dir, "dev.yaml"), strings.ReplaceAll(cdiSpec, "%DIR%", dir))
	stack.Says(t, s.OK(t, "info"), "CDI spec directories:\n  "+dir, "cdi: lus.example/dev=zero")

	look := "echo $FOUND; cat /vendor/lib; head -c 4 /dev/extra | od -An -tx1; touch /vendor/x"
	want := []string{"zero", "of the vendor", "00 00 00 00"}
	inside := s.Lus("run", "--rm", "--device", "lus.example/dev=zero", stack.Busybox, "sh", "-c", look)
	stack.Says(t, inside.Out, want...)
	stack.Says(t, inside.Err, "Read-only file system")
	stack.Says(t, s.Do(nil, dockerClient(t), "run", "--rm", "--device", "lus.example/dev=zero", stack.Busybox, "sh", "-c", look+"; true").Want(t, 0), want...)

	// What it cannot do it says, and the yardstick does it.
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--device", "lus.example/dev=hooked", stack.Busybox, "true"), "--runtime runc")
	s.OK(t, "run", "--rm", "--runtime", "runc", "--device", "lus.example/dev=hooked", stack.Busybox, "true")

	p := compose(t, s, map[string]string{"compose.yaml": "services:\n  one:\n    image: busybox\n    devices: [lus.example/dev=zero]\n    command: sh -c '" + strings.ReplaceAll(look, "$", "$$") + "; true'\n"})
	stack.Says(t, p.ok("up"), want...)

	files := map[string]string{"Dockerfile": "FROM busybox\nRUN --device=lus.example/dev=zero,required --device=lus.example/dev=absent sh -c 'echo $FOUND >/found; head -c 1 /dev/extra | od -An -tx1 >>/found'\n"}
	s.Build(t, "withdevice", files).Want(t, 0)
	stack.Says(t, s.OK(t, "run", "--rm", "withdevice", "cat", "/found"), "zero", "00")
	// One that its vendor does not give to everybody is asked for.
	files = map[string]string{"Dockerfile": "FROM busybox\nRUN --device=lus.example/dev=guarded sh -c 'test \"$FOUND\" = guarded'\n"}
	refused := s.Build(t, "guarded", files)
	refused.Want(t, 1)
	stack.Says(t, refused.All(), "Dockerfile:2", "--allow device=lus.example/dev=guarded")
	s.Build(t, "guarded", files, "--allow", "device=lus.example/dev=guarded").Want(t, 0)
}

// A request for GPUs is for those that a specification describes; where none does
// it is told how to come by one.
func TestGPUsAreThoseThatAreDescribed(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	dir := filepath.Join(filepath.Dir(s.Root), "cdi")
	write(t, filepath.Join(s.Root, "daemon.json"), `{"cdi-spec-dirs": ["`+dir+`"]}`)
	s.StartDaemon(t)
	s.ImportBusybox(t)
	const missing = ": have its vendor's tool write one, as nvidia-ctk cdi generate"
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--gpus", "all", stack.Busybox, "true"), "could not select device driver \"\" with capabilities: [[gpu]]", dir, missing)
	files := map[string]string{"compose.yaml": `
services:
  all: {image: busybox, command: sh -c "echo all $$GPUS", gpus: all}
  reserved:
    image: busybox
    command: sh -c "echo reserved $$GPUS"
    deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: ["1"], capabilities: [gpu]}]}}}
`}
	p := compose(t, s, files)
	up := p.do("up")
	up.Want(t, 1)
	stack.Says(t, up.Err, missing)

	spec := "cdiVersion: \"0.6.0\"\nkind: nvidia.com/gpu\ndevices:\n"
	for _, name := range []string{"0", "1", "all"} {
		spec += "- {name: \"" + name + "\", containerEdits: {env: [GPUS=" + name + "], deviceNodes: [{path: /dev/nvidia" + name + ", hostPath: /dev/zero}]}}\n"
	}
	write(t, filepath.Join(dir, "nvidia.yaml"), spec)
	for asked, got := range map[string]string{"all": "all", "1": "0", `"device=1"`: "1", "driver=nvidia,count=1": "0"} {
		line := []string{"run", "--rm", "--gpus", asked, stack.Busybox, "sh", "-c", "echo got $GPUS; test -c /dev/nvidia" + got}
		stack.Says(t, s.OK(t, line...), "got "+got)
		stack.Says(t, s.Do(nil, dockerClient(t), line...).Want(t, 0), "got "+got)
	}
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--gpus", "3", stack.Busybox, "true"), "3 GPUs are asked for, and there are 2")
	stack.Says(t, p.ok("up"), "all all", "reserved 1")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
