package container

import (
	"github.com/spf13/pflag"

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
	f.StringArrayVarP(&o.attach, "attach", "a", nil, "Attach to STDIN, STDOUT or STDERR only")
	f.StringArrayVarP(&o.env, "env", "e", nil, "Set a variable: NAME=value, or NAME to pass yours on")
	f.StringArrayVar(&o.envFiles, "env-file", nil, "Read variables from a file")
	f.StringVar(&o.entrypoint, "entrypoint", "", "Replace the image's ENTRYPOINT")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "Keep standard input open")
	f.BoolVarP(&o.tty, "tty", "t", false, "Give the process a terminal")
	f.BoolVar(&o.init, "init", false, "Run an init that forwards signals and reaps processes")
	f.StringArrayVarP(&o.labels, "label", "l", nil, "Set a label: key=value")
	f.StringArrayVar(&o.labelFiles, "label-file", nil, "Read labels from a file")
	f.StringArrayVar(&o.annotations, "annotation", nil, "Add an annotation for the runtime: key=value")
	f.BoolVar(&o.remove, "rm", false, "Remove the container and its anonymous volumes when it ends")
	f.StringVar(&o.restart, "restart", "no", "Start it again: no, on-failure[:max], always, unless-stopped")
	f.StringVar(&o.stopSignal, "stop-signal", "", "Signal that stops the container")
	f.IntVar(&o.stopTimeout, "stop-timeout", 0, "Seconds from the stop signal to the kill")
	f.StringVarP(&o.user, "user", "u", "", "User and group: name or number[:group]")
	f.StringVarP(&o.workdir, "workdir", "w", "", "Working directory")
	f.StringVar(&o.logDriver, "log-driver", "", "Where output goes")
	f.StringArrayVar(&o.logOpts, "log-opt", nil, "Options of the log: max-size=10m, max-file=3, mode=non-blocking")
	f.StringVar(&o.runtime, "runtime", "", "Runtime: lus (its own, the default), or runc or crun where installed")
}

func (o *options) limit(f *pflag.FlagSet) {
	o.limitFlags.register(f)
	f.Int64Var(&o.swappiness, "memory-swappiness", -1, "How readily it is swapped out (0 to 100)")
	f.StringArrayVar(&o.ulimits, "ulimit", nil, "Limit of the process: name=soft[:hard]")
	f.IntVar(&o.oomScore, "oom-score-adj", 0, "How readily the kernel kills it (-1000 to 1000)")
	f.BoolVar(&o.oomKillDisable, "oom-kill-disable", false, "Do not kill it when memory runs out")
	f.StringVar(&o.shmSize, "shm-size", "", "Size of /dev/shm, as 64m")
	f.StringVar(&o.cgroupParent, "cgroup-parent", "", "Parent of the container's cgroup")
	f.StringArrayVar(&o.storage, "storage-opt", nil, "Option of the storage driver: key=value")
}

func (o *options) surroundings(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.volumes, "volume", "v", nil, "Mount a volume or a folder: [source:]target[:options]")
	f.StringArrayVar(&o.mounts, "mount", nil, "Mount: type=bind|volume|tmpfs|image,source=...,target=...[,readonly]")
	f.StringArrayVar(&o.tmpfs, "tmpfs", nil, "Mount a tmpfs: path[:options]")
	f.StringArrayVar(&o.volumesFrom, "volumes-from", nil, "Mount the volumes of another container")
	f.StringVar(&o.volumeDriver, "volume-driver", "", "Driver of volumes that are made")
	f.StringArrayVar(&o.devices, "device", nil, "Add a device of the host: path[:path inside[:rwm]], or vendor.com/class=name of a CDI specification")
	f.StringArrayVar(&o.gpus, "gpus", nil, "Add GPUs that a CDI specification describes: all, a number, or \"device=0,1\"")
	f.StringArrayVar(&o.deviceRules, "device-cgroup-rule", nil, "Allow devices, as 'c 13:* rmw'")
	f.BoolVar(&o.readOnly, "read-only", false, "Mount the root file system read-only")
	f.StringArrayVar(&o.capAdd, "cap-add", nil, "Add a capability")
	f.StringArrayVar(&o.capDrop, "cap-drop", nil, "Drop a capability")
	f.BoolVar(&o.privileged, "privileged", false, "Give all capabilities and devices")
	f.StringArrayVar(&o.security, "security-opt", nil, "Security option, as no-new-privileges or seccomp=unconfined")
	f.StringArrayVar(&o.sysctls, "sysctl", nil, "Set a kernel parameter: name=value")
	f.StringArrayVar(&o.groups, "group-add", nil, "Add a group")
	f.StringVar(&o.pid, "pid", "", "PID namespace: host or container:NAME")
	f.StringVar(&o.ipc, "ipc", "", "IPC namespace: none, private, shareable, host or container:NAME")
	f.StringVar(&o.uts, "uts", "", "UTS namespace: host")
	f.StringVar(&o.userns, "userns", "", "User namespace: host")
	f.StringVar(&o.cgroupns, "cgroupns", "", "Cgroup namespace: host or private")
}

func (o *options) network(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.publish, "publish", "p", nil, "Publish a port: [[ip:]host port:]port[/protocol]")
	f.BoolVarP(&o.publishAll, "publish-all", "P", false, "Publish all exposed ports to free ports of the host")
	f.StringArrayVar(&o.expose, "expose", nil, "Expose a port or a range of ports")
	f.StringArrayVar(&o.networks, "network", nil, "Connect to a network: name, or name=...,alias=...,ip=...")
	f.StringArrayVar(&o.networks, "net", nil, "Connect to a network")
	_ = f.MarkHidden("net")
	f.StringArrayVar(&o.aliases, "network-alias", nil, "Add a name on the network")
	f.StringArrayVar(&o.aliases, "net-alias", nil, "Add a name on the network")
	_ = f.MarkHidden("net-alias")
	f.StringArrayVar(&o.links, "link", nil, "Find another container by a name: container[:alias]")
	f.StringVar(&o.ip, "ip", "", "IPv4 address, as 172.30.100.104")
	f.StringVar(&o.ip6, "ip6", "", "IPv6 address, as 2001:db8::33")
	f.StringArrayVar(&o.linkLocal, "link-local-ip", nil, "Link-local address")
	f.StringVar(&o.mac, "mac-address", "", "MAC address, as 92:d0:c6:0a:29:33")
	f.StringVarP(&o.hostname, "hostname", "h", "", "Host name")
	f.StringVar(&o.domainname, "domainname", "", "Domain name")
	f.StringArrayVar(&o.dns, "dns", nil, "Name server")
	f.StringArrayVar(&o.dnsSearch, "dns-search", nil, "Domain to search names in")
	f.StringArrayVar(&o.dnsOptions, "dns-option", nil, "Option of the resolver")
	f.StringArrayVar(&o.hosts, "add-host", nil, "Add a name: host:address")
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
