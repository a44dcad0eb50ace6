package container

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/container"
)

func updateCommand() command.Command {
	return command.Command{
		Name: "update", Args: "CONTAINER [CONTAINER...]", Short: "Change limits and the restart policy, also while they run",
		Example: "update --memory 512m --cpus 1.5 --restart always web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &updateFlags{set: f.Changed}
			o.register(f)
			return func(ctx context.Context, args []string) error {
				if f.NFlag() == 0 {
					return fmt.Errorf("you must provide one or more flags when using this command")
				}
				req, err := o.request()
				if err != nil {
					return err
				}
				return e.Each(args, func(name string) error {
					var out struct{ Warnings []string }
					err := e.Client.Call(ctx, client.Request{Method: "POST", Path: path(name, "update"), Body: req}, &out)
					for _, w := range out.Warnings {
						fmt.Fprintln(e.Err, terminal.Harmless(e.Err, w))
					}
					return err
				})
			}
		},
	}
}

// updateFlags are the flags of update, as typed.
type updateFlags struct {
	container.Resources
	memory, memorySwap, memoryReservation, cpus, restart string
	pids                                                 int64
	set                                                  func(flag string) bool
}

func (o *updateFlags) register(f *pflag.FlagSet) {
	f.Uint16Var(&o.BlkioWeight, "blkio-weight", 0, "Weight of block I/O against other containers (10 to 1000)")
	f.Int64Var(&o.CPUPeriod, "cpu-period", 0, "Period of the CPU limit, in microseconds")
	f.Int64Var(&o.CPUQuota, "cpu-quota", 0, "CPU time per period, in microseconds")
	f.Int64Var(&o.CPURealtimePeriod, "cpu-rt-period", 0, "Period of the real-time limit, in microseconds")
	f.Int64Var(&o.CPURealtimeRuntime, "cpu-rt-runtime", 0, "Real time per period, in microseconds")
	f.Int64VarP(&o.CPUShares, "cpu-shares", "c", 0, "Weight against other containers")
	f.StringVar(&o.cpus, "cpus", "", "Number of CPUs, as 1.5")
	f.StringVar(&o.CpusetCpus, "cpuset-cpus", "", "CPUs to run on, as 0-2 or 0,1")
	f.StringVar(&o.CpusetMems, "cpuset-mems", "", "Memory nodes to use, as 0-1")
	f.StringVarP(&o.memory, "memory", "m", "", "Memory, as 512m or 2g")
	f.StringVar(&o.memoryReservation, "memory-reservation", "", "Memory below which it is left alone")
	f.StringVar(&o.memorySwap, "memory-swap", "", "Memory and swap together; -1 for no limit of swap")
	f.Int64Var(&o.pids, "pids-limit", 0, "Number of processes; -1 for no limit")
	f.StringVar(&o.restart, "restart", "", "Start it again: no, on-failure[:max], always, unless-stopped")
}

func (o *updateFlags) request() (*container.UpdateRequest, error) {
	req := &container.UpdateRequest{Resources: o.Resources}
	var err error
	if req.Memory, err = bytesOf("memory", o.memory); err != nil {
		return nil, err
	}
	if req.MemoryReservation, err = bytesOf("memory-reservation", o.memoryReservation); err != nil {
		return nil, err
	}
	if req.MemorySwap, err = memorySwap(o.memorySwap); err != nil {
		return nil, err
	}
	if req.NanoCPUs, err = nanoCPUs(o.cpus); err != nil {
		return nil, err
	}
	if o.set("pids-limit") {
		req.PidsLimit = &o.pids
	}
	if o.restart != "" {
		req.RestartPolicy, err = restartPolicy(o.restart)
	}
	return req, err
}
