package composefile

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// fate is what becomes of a key of a Compose file. Every key that compose-go
// knows has one; a test sees to it.
type fate struct {
	what verdict
	why  string
	when func(reflect.Value) bool // nil: whatever its value
}

// verdict is one of the things that can become of a key.
type verdict string

const (
	carried verdict = "carried" // reaches the daemon
	settled verdict = "settled" // worked into other keys while the files are read
	local   verdict = "local"   // lus-compose itself acts on it
	moot    verdict = "moot"    // asks for nothing that one host could do otherwise
	idle    verdict = "idle"    // changes nothing here, and that is said
	refused verdict = "refused" // running without it would harm, so nothing runs
)

// verdicts collects fates by the pattern of a key's place: names that users choose
// and places in lists are a star. What is not carried stands for all below it.
type verdicts map[string]fate

func (t verdicts) put(f fate, under, keys string) {
	for key := range strings.FieldsSeq(keys) {
		if under != "" {
			key = under + "." + key
		}
		t[key] = f
	}
}

func (t verdicts) carried(under, keys string) { t.put(fate{what: carried}, under, keys) }
func (t verdicts) settled(under, keys string) { t.put(fate{what: settled}, under, keys) }
func (t verdicts) moot(under, keys string)    { t.put(fate{what: moot}, under, keys) }

func (t verdicts) idle(why, under, keys string) { t.put(fate{what: idle, why: why}, under, keys) }

func (t verdicts) refused(why, under, keys string) {
	t.put(fate{what: refused, why: why}, under, keys)
}

// only limits the fate of one key to some of its values; others are moot.
func (t verdicts) only(key string, when func(reflect.Value) bool) {
	f := t[key]
	f.when = when
	t[key] = f
}

const (
	notYet   = "is not carried out yet and has no effect"
	swarm    = "is for a swarm of hosts and has no effect here"
	windows  = "is for Windows and has no effect here"
	noModels = "has no effect: AI models are not run here; run a server of models as a service, and give the others its address in environment:"
)

// fates is what becomes of every key.
func fates() verdicts {
	t := verdicts{}
	t.carried("", "name services networks volumes secrets configs")
	t.settled("", "include")
	t.idle("is obsolete and has no effect; remove it", "", "version")
	t.idle(noModels, "", "models")
	t.idle(notYet, "", "jobs")
	t.service()
	t.attachments()
	t.deploy()
	t.build()
	t.topLevel()
	t.before()
	return t
}

func (t verdicts) service() {
	const s = "services.*"
	t.carried(s, "image command entrypoint environment user working_dir hostname domainname labels annotations "+
		"container_name scale restart attach depends_on healthcheck init tty stdin_open stop_signal stop_grace_period platform "+
		"pull_policy pull_refresh_after links runtime isolation")
	t.carried(s, "cap_add cap_drop privileged security_opt read_only group_add userns_mode ipc pid uts cgroup sysctls "+
		"devices gpus device_cgroup_rules oom_score_adj oom_kill_disable ulimits")
	t.carried(s, "cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset "+
		"mem_limit mem_reservation mem_swappiness memswap_limit pids_limit shm_size blkio_config")
	t.carried(s, "network_mode networks ports expose dns dns_opt dns_search extra_hosts external_links mac_address")
	t.carried(s, "volumes volumes_from tmpfs secrets configs logging build deploy")
	t.settled(s, "env_file label_file extends profiles")

	t.carried(s+".depends_on.*", "condition restart required")
	t.carried(s+".healthcheck", "test interval timeout retries start_period start_interval disable")
	t.carried(s+".logging", "driver options")
	t.carried(s+".ulimits.*", "single soft hard")
	t.carried(s+".devices.*", "source target permissions")
	t.carried(s+".blkio_config", "weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops")
	t.carried(s+".blkio_config.weight_device.*", "path weight")
	for _, limit := range strings.Fields("device_read_bps device_read_iops device_write_bps device_write_iops") {
		t.carried(s+".blkio_config."+limit+".*", "path rate")
	}
	t.carried(s, "post_start pre_stop")
	for _, hook := range []string{".post_start.*", ".pre_stop.*"} {
		t.carried(s+hook, "command user privileged working_dir environment")
	}
	t.put(fate{what: local}, s, "develop")

	t.idle("has no effect: no runtime here sets it; let the program do so", s, "umask")
	t.carried(s, "use_api_socket")
	t.idle(windows, s, "credential_spec cpu_count cpu_percent")
	t.idle(noModels, s, "models")
	t.refused("the program of a provider is not run here: run what it stands for as a service with an image, or give the others its address in environment:", s, "provider")
	t.refused("the writable layer has no size limit of its own here: remove it; a tmpfs has one (tmpfs: /place:size=64m)", s, "storage_opt")
	t.refused("containers stand in a cgroup of the daemon's own: remove it, and give the service limits (mem_limit, cpus)", s, "cgroup_parent")
	// The library has fields for these, and its schema refuses them before us.
	t.settled(s, "name dockerfile log_driver log_opt net volume_driver")
}

// before are the containers that run before a service: what is said of a service's
// keys goes for theirs.
func (t verdicts) before() {
	const s, hook = "services.*.", "services.*.pre_start.*."
	of := map[string]fate{}
	for key, f := range t {
		first, _, _ := strings.Cut(strings.TrimPrefix(key, s), ".")
		if strings.HasPrefix(key, s) && slices.Contains(types.ContainerSpecAttributes, first) {
			of[hook+strings.TrimPrefix(key, s)] = f
		}
	}
	maps.Copy(t, of)
	t.carried("services.*", "pre_start")
	t.carried("services.*.pre_start.*", "per_replica")
	t.moot("services.*.pre_start.*.networks.*", "use_service_name_alias") // they never have it
}

// attachments are what a service has of networks, ports and mounts.
func (t verdicts) attachments() {
	const n, p, v = "services.*.networks.*", "services.*.ports.*", "services.*.volumes.*"
	t.carried(n, "aliases gw_priority ipv4_address ipv6_address priority use_service_name_alias interface_name mac_address driver_opts")
	t.refused("link-local addresses are not given: remove it", n, "link_local_ips")

	t.carried(p, "target published protocol host_ip")
	t.moot(p, "name mode app_protocol")

	t.carried(v, "type source target read_only consistency bind volume tmpfs image")
	t.carried(v+".bind", "propagation create_host_path recursive")
	t.idle("has no effect: files are not labelled for SELinux", v+".bind", "selinux")
	t.only(v+".bind.selinux", func(reflect.Value) bool {
		_, err := os.Stat("/sys/fs/selinux/enforce")
		return err == nil
	})
	t.carried(v+".volume", "labels nocopy subpath")
	t.carried(v+".tmpfs", "size mode")
	t.carried(v+".image", "subpath")

	for _, what := range []string{"secrets", "configs"} {
		t.carried("services.*."+what+".*", "source target uid gid mode")
	}
}

func (t verdicts) deploy() {
	const d = "services.*.deploy"
	t.carried(d, "replicas restart_policy resources")
	t.carried(d+".restart_policy", "condition max_attempts")
	t.idle("has no effect: a container that ended starts again after a pause that grows from 0.1 s", d+".restart_policy", "delay window")
	t.carried(d+".resources", "limits reservations")
	t.carried(d+".resources.limits", "cpus memory pids")
	t.settled(d+".resources.limits", "devices generic_resources") // not in the schema
	t.carried(d+".resources.reservations", "memory")
	t.idle(swarm, d+".resources.reservations", "cpus generic_resources")
	t.settled(d+".resources.reservations", "pids") // not in the schema
	t.carried(d+".resources.reservations", "devices")
	for _, place := range []string{"services.*.gpus.*", d + ".resources.reservations.devices.*"} {
		t.carried(place, "capabilities driver count device_ids")
		t.refused("what a GPU brings along is in its CDI specification: remove it", place, "options")
	}
	t.idle("are of a swarm's service and not of its containers: write them below labels: of the service", d, "labels")
	t.carried(d, "update_config rollback_config")
	for _, what := range []string{".update_config", ".rollback_config"} {
		t.carried(d+what, "parallelism delay failure_action monitor max_failure_ratio order")
	}
	t.idle(swarm, d, "placement mode")
	t.only(d+".mode", func(v reflect.Value) bool { return !slices.Contains([]string{"replicated", "global"}, v.String()) })
	t.moot(d, "endpoint_mode")
}

func (t verdicts) build() {
	const b = "services.*.build"
	t.carried(b, "context dockerfile dockerfile_inline args labels target no_cache no_cache_filter privileged entitlements pull network extra_hosts shm_size tags platforms ulimits secrets ssh additional_contexts cache_from cache_to")
	t.carried(b+".secrets.*", "source target")
	t.moot(b+".secrets.*", "uid gid mode") // the step that mounts it says them
	t.carried(b+".ulimits.*", "single soft hard")
	t.carried(b+".ssh.*", "id path")
	t.idle("has no effect: images of this store hold no attestations; `lus build --output type=oci,dest=FILE` makes one that does", b, "provenance sbom")
	t.idle(windows, b, "isolation")
	t.only(b+".isolation", func(v reflect.Value) bool { return v.String() != "default" })
}

func (t verdicts) topLevel() {
	t.carried("networks.*", "name driver driver_opts ipam external internal labels enable_ipv6")
	t.refused("networks without IPv4 are not made here: remove it", "networks.*", "enable_ipv4")
	t.only("networks.*.enable_ipv4", func(v reflect.Value) bool { return !v.Elem().Bool() })
	t.moot("networks.*", "attachable") // to a network of one host anything may attach
	t.carried("networks.*.ipam", "driver config")
	t.refused("IPAM options are not known here: remove them", "networks.*.ipam", "options")
	t.carried("networks.*.ipam.config.*", "subnet gateway ip_range aux_addresses")

	t.carried("volumes.*", "name driver driver_opts external labels")

	t.settled("", "secrets.*.content configs.*.driver configs.*.driver_opts") // not in the schema
	for _, what := range []string{"secrets.*", "configs.*"} {
		t.carried(what, "file environment")
		t.moot(what, "name") // the service says under which name it sees the file
		t.idle("has no effect: only the file is shown", what, "labels")
		t.refused("nothing here keeps such things outside of files and variables: give it file: or environment:", what, "external")
		t.refused("stores and templates for it belong to a swarm: write it into a file and name that", what, "template_driver")
	}
	t.carried("configs.*", "content")
	t.refused("stores for it belong to a swarm: write it into a file and name that", "secrets.*", "driver driver_opts")
}
