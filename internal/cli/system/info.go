package system

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/cli/terminal"
)

// facts is what info prints of GET /info.
type facts struct {
	Containers, ContainersRunning, ContainersPaused, ContainersStopped, Images, NCPU int

	Driver, LoggingDriver, CgroupDriver, CgroupVersion, DefaultRuntime            string
	KernelVersion, OperatingSystem, OSType, Architecture, Name, ID, DockerRootDir string
	ServerVersion                                                                 string
	MemTotal                                                                      int64
	SecurityOptions, Warnings                                                     []string
	Runtimes                                                                      map[string]struct{}
	Plugins                                                                       struct{ Volume, Network, Log []string }
	CDISpecDirs                                                                   []string
	DiscoveredDevices                                                             []struct{ Source, ID string }
	FirewallBackend                                                               struct {
		Driver string
		Info   [][2]string
	}
}

// devices are those that can be asked for by name.
func (i facts) devices() []string {
	var out []string
	for _, d := range i.DiscoveredDevices {
		out = append(out, d.Source+": "+d.ID)
	}
	return out
}

func infoCommand() command.Command {
	return command.Command{
		Name: "info", Short: "Show facts about the daemon and this machine",
		Example: "info", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			return func(ctx context.Context, _ []string) error {
				data, err := e.Client.Raw(ctx, "/info", nil)
				if err != nil {
					return err
				}
				if *format != "" {
					if *format == "json" {
						*format = "{{json .}}"
					}
					return output.Objects(e.Out, *format, []json.RawMessage{data})
				}
				var i facts
				if err := json.Unmarshal(data, &i); err != nil {
					return err
				}
				printInfo(e, i)
				return nil
			}
		},
	}
}

func printInfo(e *command.Env, i facts) {
	fmt.Fprintln(e.Out, "Server:")
	fmt.Fprintf(e.Out, " Containers: %d\n  Running: %d\n  Paused: %d\n  Stopped: %d\n Images: %d\n",
		i.Containers, i.ContainersRunning, i.ContainersPaused, i.ContainersStopped, i.Images)
	for _, line := range [][2]string{
		{"Server Version", i.ServerVersion}, {"Storage Driver", i.Driver}, {"Logging Driver", i.LoggingDriver},
		{"Cgroup Driver", i.CgroupDriver}, {"Cgroup Version", i.CgroupVersion},
		{"Volume drivers", strings.Join(i.Plugins.Volume, " ")}, {"Network drivers", strings.Join(i.Plugins.Network, " ")},
		{"Runtimes", strings.Join(slices.Sorted(maps.Keys(i.Runtimes)), " ")}, {"Default Runtime", i.DefaultRuntime}, {"Security Options", strings.Join(i.SecurityOptions, " ")},
		{"Kernel Version", i.KernelVersion}, {"Operating System", i.OperatingSystem}, {"OSType", i.OSType},
		{"Architecture", i.Architecture}, {"CPUs", fmt.Sprint(i.NCPU)}, {"Total Memory", units.BytesSize(float64(i.MemTotal))},
		{"Name", i.Name}, {"ID", i.ID}, {"Root Dir", i.DockerRootDir},
	} {
		if line[1] != "" {
			fmt.Fprintf(e.Out, " %s: %s\n", line[0], line[1])
		}
	}
	for _, dir := range []struct {
		title string
		lines []string
	}{{"CDI spec directories", i.CDISpecDirs}, {"Discovered Devices", i.devices()}} {
		if len(dir.lines) > 0 {
			fmt.Fprintf(e.Out, " %s:\n  %s\n", dir.title, strings.Join(dir.lines, "\n  "))
		}
	}
	fmt.Fprintf(e.Out, " Firewall Backend: %s\n", i.FirewallBackend.Driver)
	for _, line := range i.FirewallBackend.Info {
		fmt.Fprintf(e.Out, "  %s: %s\n", line[0], line[1])
	}
	for _, w := range i.Warnings {
		fmt.Fprintln(e.Err, terminal.Harmless(e.Err, w))
	}
}
