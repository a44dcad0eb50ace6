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
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--gpus", "all", stack.Busybox, "true"), "--device")

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

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
