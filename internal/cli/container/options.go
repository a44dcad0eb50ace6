package container

import (
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/model/container"
)

// options are the flags of run and create, as typed.
type options struct {
	attach, env, envFiles, labels, labelFiles, publish, expose          []string
	volumes, volumesFrom, mounts, tmpfs, devices, gpus, deviceRules     []string
	networks, aliases, dns, dnsSearch, dnsOptions, hosts, linkLocal     []string
	links                                                               []string
	capAdd, capDrop, groups, security, ulimits, sysctls, logOpts        []string
	annotations, storage                                                []string
	hostname, domainname, user, workdir, entrypoint, ip, ip6, mac       string
	restart, stopSignal, pid, ipc, uts, userns, cgroupns, cgroupParent  string
	logDriver, runtime, volumeDriver                                    string
	shmSize, platform, cidFile                                          string
	healthCmd, healthInterval, healthTimeout, healthStart, healthStartI string
	stopTimeout, healthRetries, oomScore                                int
	swappiness                                                          int64
	interactive, tty, remove, readOnly, privileged, init, publishAll    bool
	noHealth, oomKillDisable, restartUnhealthy                          bool

	limitFlags
	weightDevices, readBps, writeBps, readIOps, writeIOps []string

	name, pull       string
	quiet, apiSocket bool

	set func(flag string) bool // whether it was typed
}

// register adds the flags that run and create share.
func (o *options) register(f *pflag.FlagSet) {
	o.set = f.Changed
	o.process(f)
	o.limit(f)
	o.surroundings(f)
	o.network(f)
	o.health(f)
	o.devicesIO(f)
	o.access(f)
	refused(f)
	f.StringVar(&o.name, "name", "", "Give the container a name")
	f.StringVar(&o.pull, "pull", "missing", "Pull the image before: always, missing, never")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Do not show the progress of a pull")
	f.StringVar(&o.platform, "platform", "", "Platform of the image, as linux/amd64")
	f.StringVar(&o.cidFile, "cidfile", "", "Write the container's id to this file")
}

func (o *options) process(f *pflag.FlagSet) {
	command.ListVarP(f, &o.attach, "attach", "a", "Attach to STDIN, STDOUT or STDERR only")
	command.ListVarP(f, &o.env, "env", "e", "Set a variable: NAME=value, or NAME to pass yours on")
	command.ListVar(f, &o.envFiles, "env-file", "Read variables from a file")
	f.StringVar(&o.entrypoint, "entrypoint", "", "Replace the image's ENTRYPOINT")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "Keep standard input open")
	f.BoolVarP(&o.tty, "tty", "t", false, "Give the process a terminal")
	f.BoolVar(&o.init, "init", false, "Run an init that forwards signals and reaps processes")
	command.ListVarP(f, &o.labels, "label", "l", "Set a label: key=value")
	command.ListVar(f, &o.labelFiles, "label-file", "Read labels from a file")
	command.ListVar(f, &o.annotations, "annotation", "Add an annotation for the runtime: key=value")
	f.BoolVar(&o.remove, "rm", false, "Remove the container and its anonymous volumes when it ends")
	f.StringVar(&o.restart, "restart", "no", "Start it again: no, on-failure[:max], always, unless-stopped")
	f.StringVar(&o.stopSignal, "stop-signal", "", "Signal that stops the container")
	f.IntVar(&o.stopTimeout, "stop-timeout", 0, "Seconds from the stop signal to the kill")
	f.StringVarP(&o.user, "user", "u", "", "User and group: name or number[:group]")
	f.StringVarP(&o.workdir, "workdir", "w", "", "Working directory")
	f.StringVar(&o.logDriver, "log-driver", "", "Where output goes")
	command.ListVar(f, &o.logOpts, "log-opt", "Options of the log: max-size=10m, max-file=3, mode=non-blocking")
	f.StringVar(&o.runtime, "runtime", "", "Runtime: lus (its own, the default), or runc or crun where installed")
}

func (o *options) limit(f *pflag.FlagSet) {
	o.limitFlags.register(f)
	f.Int64Var(&o.swappiness, "memory-swappiness", -1, "How readily it is swapped out (0 to 100)")
	command.ListVar(f, &o.ulimits, "ulimit", "Limit of the process: name=soft[:hard]")
	f.IntVar(&o.oomScore, "oom-score-adj", 0, "How readily the kernel kills it (-1000 to 1000)")
	f.BoolVar(&o.oomKillDisable, "oom-kill-disable", false, "Do not kill it when memory runs out")
	f.StringVar(&o.shmSize, "shm-size", "", "Size of /dev/shm, as 64m")
	f.StringVar(&o.cgroupParent, "cgroup-parent", "", "Parent of the container's cgroup")
	command.ListVar(f, &o.storage, "storage-opt", "Option of the storage driver: key=value")
}

func (o *options) surroundings(f *pflag.FlagSet) {
	command.ListVarP(f, &o.volumes, "volume", "v", "Mount a volume or a folder: [source:]target[:options]")
	command.ListVar(f, &o.mounts, "mount", "Mount: type=bind|volume|tmpfs|image,source=...,target=...[,readonly]")
	command.ListVar(f, &o.tmpfs, "tmpfs", "Mount a tmpfs: path[:options]")
	command.ListVar(f, &o.volumesFrom, "volumes-from", "Mount the volumes of another container")
	f.StringVar(&o.volumeDriver, "volume-driver", "", "Driver of volumes that are made")
	command.ListVar(f, &o.devices, "device", "Add a device of the host: path[:path inside[:rwm]], or vendor.com/class=name of a CDI specification")
	command.ListVar(f, &o.gpus, "gpus", "Add GPUs that a CDI specification describes: all, a number, or \"device=0,1\"")
	command.ListVar(f, &o.deviceRules, "device-cgroup-rule", "Allow devices, as 'c 13:* rmw'")
	f.BoolVar(&o.readOnly, "read-only", false, "Mount the root file system read-only")
	command.ListVar(f, &o.capAdd, "cap-add", "Add a capability")
	command.ListVar(f, &o.capDrop, "cap-drop", "Drop a capability")
	f.BoolVar(&o.privileged, "privileged", false, "Give all capabilities and devices")
	command.ListVar(f, &o.security, "security-opt", "Security option, as no-new-privileges or seccomp=unconfined")
	command.ListVar(f, &o.sysctls, "sysctl", "Set a kernel parameter: name=value")
	command.ListVar(f, &o.groups, "group-add", "Add a group")
	f.StringVar(&o.pid, "pid", "", "PID namespace: host or container:NAME")
	f.StringVar(&o.ipc, "ipc", "", "IPC namespace: none, private, shareable, host or container:NAME")
	f.StringVar(&o.uts, "uts", "", "UTS namespace: host")
	f.StringVar(&o.userns, "userns", "", "User namespace: host")
	f.StringVar(&o.cgroupns, "cgroupns", "", "Cgroup namespace: host or private")
}

func (o *options) network(f *pflag.FlagSet) {
	command.ListVarP(f, &o.publish, "publish", "p", "Publish a port: [[ip:]host port:]port[/protocol]")
	f.BoolVarP(&o.publishAll, "publish-all", "P", false, "Publish all exposed ports to free ports of the host")
	command.ListVar(f, &o.expose, "expose", "Expose a port or a range of ports")
	command.ListVar(f, &o.networks, "network", "Connect to a network: name, or name=...,alias=...,ip=...")
	command.ListVar(f, &o.networks, "net", "Connect to a network")
	_ = f.MarkHidden("net")
	command.ListVar(f, &o.aliases, "network-alias", "Add a name on the network")
	command.ListVar(f, &o.aliases, "net-alias", "Add a name on the network")
	_ = f.MarkHidden("net-alias")
	command.ListVar(f, &o.links, "link", "Find another container by a name: container[:alias]")
	f.StringVar(&o.ip, "ip", "", "IPv4 address, as 172.30.100.104")
	f.StringVar(&o.ip6, "ip6", "", "IPv6 address, as 2001:db8::33")
	command.ListVar(f, &o.linkLocal, "link-local-ip", "Link-local address")
	f.StringVar(&o.mac, "mac-address", "", "MAC address, as 92:d0:c6:0a:29:33")
	f.StringVarP(&o.hostname, "hostname", "h", "", "Host name")
	f.StringVar(&o.domainname, "domainname", "", "Domain name")
	command.ListVar(f, &o.dns, "dns", "Name server")
	command.ListVar(f, &o.dnsSearch, "dns-search", "Domain to search names in")
	command.ListVar(f, &o.dnsOptions, "dns-option", "Option of the resolver")
	command.ListVar(f, &o.dnsOptions, "dns-opt", "Option of the resolver")
	_ = f.MarkHidden("dns-opt")
	command.ListVar(f, &o.hosts, "add-host", "Add a name: host:address")
}

func (o *options) health(f *pflag.FlagSet) {
	f.StringVar(&o.healthCmd, "health-cmd", "", "Command that checks the container's health")
	f.StringVar(&o.healthInterval, "health-interval", "", "Time between checks, as 30s")
	f.StringVar(&o.healthTimeout, "health-timeout", "", "Time a check may take")
	f.StringVar(&o.healthStart, "health-start-period", "", "Time in which failures do not count")
	f.StringVar(&o.healthStartI, "health-start-interval", "", "Time between checks in the start period")
	f.IntVar(&o.healthRetries, "health-retries", 0, "Failures in a row until it is unhealthy")
	f.BoolVar(&o.restartUnhealthy, "restart-unhealthy", false, "Restart it when it becomes unhealthy (as --annotation "+container.RestartUnhealthy+"=true)")
	f.BoolVar(&o.noHealth, "no-healthcheck", false, "Switch off the image's health check")
}
