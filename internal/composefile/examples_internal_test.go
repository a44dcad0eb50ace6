package composefile

import (
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// keyExamples has one example for each key that does something or is named.
func keyExamples() map[string]example {
	all := map[string]example{}
	for _, group := range []map[string]example{plainExamples(), hookExamples(), fileExamples(), gpuExamples(), limitExamples(), attachmentExamples(), partExamples(), topExamples(), namedExamples()} {
		for k, e := range group {
			all[k] = e
		}
	}
	for k, e := range beforeExamples(all) {
		all[k] = e
	}
	return all
}

// beforeExamples are those of a service's keys, said of a container that runs
// before it.
func beforeExamples(all map[string]example) map[string]example {
	const s = "services.*."
	out := map[string]example{
		"services.*.pre_start.*.per_replica": {with: "pre_start: [{command: [x], per_replica: true}]", want: `"perReplica":true`},
	}
	for k, e := range all {
		key, ok := strings.CutPrefix(k, s)
		first, _, _ := strings.Cut(key, ".")
		if !ok || !slices.Contains(types.ContainerSpecAttributes, first) {
			continue
		}
		if strings.HasSuffix(key, ".use_service_name_alias") {
			continue // they have none of the names by which the service is reached
		}
		e.want = strings.Replace(e.want, `"Aliases":["web","www"]`, `"Aliases":["www"]`, 1)
		out[s+"pre_start.*."+key] = example{with: "pre_start: [{" + strings.ReplaceAll(e.with, "\n    ", ", ") + "}]", want: e.want, without: "pre_start: [{" + strings.ReplaceAll(e.without, "\n    ", ", ") + "}]"}
	}
	return out
}

func plainExamples() map[string]example {
	return map[string]example{
		"services.*.image":              {with: "image: httpd", want: `"image":"httpd"`},
		"services.*.command":            {with: "command: [serve, now]", want: `"Cmd":["serve","now"]`},
		"services.*.entrypoint":         {with: "entrypoint: [/start]", want: `"Entrypoint":["/start"]`},
		"services.*.environment":        {with: "environment: {A: b}", want: `"Env":["A=b"]`},
		"services.*.user":               {with: "user: '7:8'", want: `"User":"7:8"`},
		"services.*.working_dir":        {with: "working_dir: /srv", want: `"WorkingDir":"/srv"`},
		"services.*.hostname":           {with: "hostname: h", want: `"Hostname":"h"`},
		"services.*.domainname":         {with: "domainname: d.example", want: `"Domainname":"d.example"`},
		"services.*.labels":             {with: "labels: {l: m}", want: `"l":"m"`},
		"services.*.annotations":        {with: "annotations: {l: m}", want: `"Annotations":{"l":"m"}`},
		"services.*.container_name":     {with: "container_name: the-web", want: `"containerName":"the-web"`},
		"services.*.scale":              {with: "scale: 3", want: `"scale":3`},
		"services.*.restart":            {with: "restart: always", want: `"RestartPolicy":{"Name":"always"`},
		"services.*.attach":             {with: "attach: false", want: `"quiet":true`},
		"services.*.init":               {with: "init: true", want: `"Init":true`},
		"services.*.tty":                {with: "tty: true", want: `"Tty":true`},
		"services.*.stdin_open":         {with: "stdin_open: true", want: `"OpenStdin":true`},
		"services.*.stop_signal":        {with: "stop_signal: SIGUSR1", want: `"StopSignal":"SIGUSR1"`},
		"services.*.stop_grace_period":  {with: "stop_grace_period: 1m", want: `"StopTimeout":60`},
		"services.*.platform":           {with: "platform: linux/arm64", want: `"platform":"linux/arm64"`},
		"services.*.pull_policy":        {with: "pull_policy: weekly", want: `"pullPolicy":"refresh","refreshAfter":604800000000000`},
		"services.*.pull_refresh_after": {with: "pull_policy: refresh\n    pull_refresh_after: 1h", want: `"refreshAfter":3600000000000`},
		"services.*.links":              {with: "links: ['db:database']", want: `"Aliases":["db","database"]`},
		"services.*.runtime":            {with: "runtime: runc", want: `"Runtime":"runc"`},
		"services.*.use_api_socket":     {with: "use_api_socket: true", want: `"Source":"/run/lus.sock","Target":"/var/run/docker.sock"`},
		"services.*.isolation":          {with: "isolation: default", want: `"Isolation":"default"`},

		"services.*.depends_on.*.condition": {with: "depends_on: {db: {condition: service_healthy}}", want: `"condition":"service_healthy"`},
		"services.*.depends_on.*.restart":   {with: "depends_on: {db: {condition: service_started, restart: true}}", want: `"restart":true`},
		"services.*.depends_on.*.required":  {with: "depends_on: {db: {condition: service_started, required: false}}", want: `"required":false`},

		"services.*.healthcheck.test":           {with: "healthcheck: {test: ping}", want: `"Test":["CMD-SHELL","ping"]`},
		"services.*.healthcheck.interval":       {with: "healthcheck: {test: ping, interval: 2s}", want: `"Interval":2000000000`},
		"services.*.healthcheck.timeout":        {with: "healthcheck: {test: ping, timeout: 2s}", want: `"Timeout":2000000000`},
		"services.*.healthcheck.start_period":   {with: "healthcheck: {test: ping, start_period: 2s}", want: `"StartPeriod":2000000000`},
		"services.*.healthcheck.start_interval": {with: "healthcheck: {test: ping, start_interval: 2s}", want: `"StartInterval":2000000000`},
		"services.*.healthcheck.retries":        {with: "healthcheck: {test: ping, retries: 7}", want: `"Retries":7`},
		"services.*.healthcheck.disable":        {with: "healthcheck: {disable: true}", want: `"Test":["NONE"]`},
		"services.*.logging.driver":             {with: "logging: {driver: local}", want: `"LogConfig":{"Type":"local"`},
		"services.*.logging.options":            {with: "logging: {options: {max-size: 1m}}", want: `"Config":{"max-size":"1m"}`},
	}
}

// hookExamples are of commands run in a container, and of limits of devices.
func hookExamples() map[string]example {
	out := map[string]example{
		"services.*.external_links":            {with: "external_links: ['other:o', plain]", want: `"Links":["other:o","plain:plain"]`},
		"services.*.mac_address":               {with: "mac_address: '02:42:ac:11:65:43'", want: `"MacAddress":"02:42:ac:11:65:43"`},
		"services.*.networks.*.mac_address":    {with: "networks: {front: {mac_address: '02:42:ac:11:65:43'}}", want: `"MacAddress":"02:42:ac:11:65:43"`},
		"services.*.networks.*.interface_name": {with: "networks: {front: {interface_name: eth7}}", want: `"DriverOpts":{"com.docker.network.endpoint.ifname":"eth7"}`},
		"services.*.networks.*.driver_opts":    {with: "networks: {front: {driver_opts: {o: p}}}", want: `"DriverOpts":{"o":"p"}`},
		"services.*.build.cache_from": {with: "build: {context: /srv, cache_from: [c, 'type=local,src=/c']}",
			want: `"cacheFrom":[{"type":"registry","attrs":{"ref":"c"}},{"type":"local","attrs":{"src":"/c"}}]`},
		"services.*.build.cache_to":                      {with: "build: {context: /srv, cache_to: ['type=local,dest=/c']}", want: `"cacheTo":[{"type":"local","attrs":{"dest":"/c"}}]`},
		"services.*.blkio_config.weight_device.*.path":   {with: "blkio_config: {weight_device: [{path: /dev/vda, weight: 300}]}", want: `"BlkioWeightDevice":[{"Path":"/dev/vda"`},
		"services.*.blkio_config.weight_device.*.weight": {with: "blkio_config: {weight_device: [{path: /dev/vda, weight: 300}]}", want: `"Weight":300`},
	}
	for key, name := range map[string]string{"post_start": "postStart", "pre_stop": "preStop"} {
		for sub, want := range map[string]string{
			"command: [sync, now]": `{"cmd":["sync","now"]`, "user: '7'": `"user":"7"`, "privileged: true": `"privileged":true`,
			"working_dir: /w": `"workingDir":"/w"`, "environment: {A: b}": `"env":["A=b"]`,
		} {
			field, _, _ := strings.Cut(sub, ":")
			with := key + ": [{command: [x], " + sub + "}]"
			if field == "command" {
				with = key + ": [{" + sub + "}]"
				want = `"` + name + `":[` + want
			}
			out["services.*."+key+".*."+field] = example{with: with, want: want}
		}
	}
	for key, name := range map[string]string{
		"device_read_bps": "BlkioDeviceReadBps", "device_read_iops": "BlkioDeviceReadIOps",
		"device_write_bps": "BlkioDeviceWriteBps", "device_write_iops": "BlkioDeviceWriteIOps",
	} {
		e := example{with: "blkio_config: {" + key + ": [{path: /dev/vda, rate: 1000}]}", want: `"` + name + `":[{"Path":"/dev/vda","Rate":1000}]`}
		out["services.*.blkio_config."+key+".*.path"], out["services.*.blkio_config."+key+".*.rate"] = e, e
	}
	return out
}

// gpuExamples are of devices that are asked for by number or name.
func gpuExamples() map[string]example {
	const devices, end = "deploy: {resources: {reservations: {devices: [{", "}]}}}"
	return map[string]example{
		"services.*.gpus.*.capabilities":                                  {with: "gpus: [{capabilities: [utility]}]", want: `"Capabilities":[["utility","gpu"]]`},
		"services.*.gpus.*.driver":                                        {with: "gpus: [{driver: amd}]", want: `"Driver":"amd"`},
		"services.*.gpus.*.count":                                         {with: "gpus: all", want: `"Count":-1`},
		"services.*.gpus.*.device_ids":                                    {with: "gpus: [{device_ids: ['1']}]", want: `"DeviceIDs":["1"]`},
		"services.*.deploy.resources.reservations.devices.*.capabilities": {with: devices + "capabilities: [gpu]" + end, want: `"Capabilities":[["gpu"]]`},
		"services.*.deploy.resources.reservations.devices.*.driver":       {with: devices + "capabilities: [gpu], driver: nvidia" + end, want: `"Driver":"nvidia"`},
		"services.*.deploy.resources.reservations.devices.*.count":        {with: devices + "capabilities: [gpu], count: 2" + end, want: `"Count":2`},
		"services.*.deploy.resources.reservations.devices.*.device_ids":   {with: devices + "capabilities: [gpu], device_ids: ['1']" + end, want: `"DeviceIDs":["1"]`},
	}
}

// fileExamples are of secrets and configs that are put into the container.
func fileExamples() map[string]example {
	out := map[string]example{
		"secrets.*.environment": {with: "secrets: {key: {environment: HOME}}", want: `"files":[{"key":"secrets.key","target":"/run/secrets/u"`},
		"configs.*.environment": {with: "configs: {conf: {environment: HOME}}", want: `"files":[{"key":"configs.conf","target":"/u"`},
		"configs.*.content":     {with: "configs: {conf: {content: text}}", want: `"target":"/u","data":"dGV4dA=="`},
	}
	for _, what := range []string{"secrets: [{source: key", "configs: [{source: conf"} {
		name, _, _ := strings.Cut(what, ":")
		out["services.*."+name+".*.uid"] = example{with: what + ", uid: '7'}]", want: `"uid":7`}
		out["services.*."+name+".*.gid"] = example{with: what + ", gid: '8'}]", want: `"gid":8`}
		out["services.*."+name+".*.mode"] = example{with: what + ", mode: 0400}]", want: `"mode":256`}
	}
	return out
}

func limitExamples() map[string]example {
	return map[string]example{
		"services.*.cap_add":               {with: "cap_add: [NET_ADMIN]", want: `"CapAdd":["NET_ADMIN"]`},
		"services.*.cap_drop":              {with: "cap_drop: [ALL]", want: `"CapDrop":["ALL"]`},
		"services.*.privileged":            {with: "privileged: true", want: `"Privileged":true`},
		"services.*.security_opt":          {with: "security_opt: ['no-new-privileges:true']", want: `"SecurityOpt":["no-new-privileges:true"]`},
		"services.*.read_only":             {with: "read_only: true", want: `"ReadonlyRootfs":true`},
		"services.*.group_add":             {with: "group_add: [mail]", want: `"GroupAdd":["mail"]`},
		"services.*.userns_mode":           {with: "userns_mode: host", want: `"UsernsMode":"host"`},
		"services.*.ipc":                   {with: "ipc: host", want: `"IpcMode":"host"`},
		"services.*.pid":                   {with: "pid: host", want: `"PidMode":"host"`},
		"services.*.uts":                   {with: "uts: host", want: `"UTSMode":"host"`},
		"services.*.cgroup":                {with: "cgroup: host", want: `"CgroupnsMode":"host"`},
		"services.*.sysctls":               {with: "sysctls: {net.core.somaxconn: 9}", want: `"Sysctls":{"net.core.somaxconn":"9"}`},
		"services.*.device_cgroup_rules":   {with: "device_cgroup_rules: ['c 1:3 r']", want: `"DeviceCgroupRules":["c 1:3 r"]`},
		"services.*.devices.*.source":      {with: "devices: ['/dev/null:/dev/hole:r']", want: `"PathOnHost":"/dev/null"`},
		"services.*.devices.*.target":      {with: "devices: ['/dev/null:/dev/hole:r']", want: `"PathInContainer":"/dev/hole"`},
		"services.*.devices.*.permissions": {with: "devices: ['/dev/null:/dev/hole:r']", want: `"CgroupPermissions":"r"`, without: "devices: ['/dev/null:/dev/hole']"},
		"services.*.oom_score_adj":         {with: "oom_score_adj: 7", want: `"OomScoreAdj":7`},
		"services.*.oom_kill_disable":      {with: "oom_kill_disable: true", want: `"OomKillDisable":true`},
		"services.*.ulimits.*.single":      {with: "ulimits: {nofile: 9}", want: `{"Name":"nofile","Hard":9,"Soft":9}`},
		"services.*.ulimits.*.soft":        {with: "ulimits: {nofile: {soft: 7, hard: 9}}", want: `"Soft":7`},
		"services.*.ulimits.*.hard":        {with: "ulimits: {nofile: {soft: 7, hard: 9}}", want: `"Hard":9`},
		"services.*.cpu_period":            {with: "cpu_period: 50000", want: `"CpuPeriod":50000`},
		"services.*.cpu_quota":             {with: "cpu_quota: 25000", want: `"CpuQuota":25000`},
		"services.*.cpu_rt_period":         {with: "cpu_rt_period: '50000'", want: `"CpuRealtimePeriod":50000`},
		"services.*.cpu_rt_runtime":        {with: "cpu_rt_runtime: '25000'", want: `"CpuRealtimeRuntime":25000`},
		"services.*.cpu_shares":            {with: "cpu_shares: 7", want: `"CpuShares":7`},
		"services.*.cpus":                  {with: "cpus: 0.5", want: `"NanoCpus":500000000`},
		"services.*.cpuset":                {with: "cpuset: '0'", want: `"CpusetCpus":"0"`},
		"services.*.mem_limit":             {with: "mem_limit: 64m", want: `"Memory":67108864`},
		"services.*.mem_reservation":       {with: "mem_reservation: 32m", want: `"MemoryReservation":33554432`},
		"services.*.mem_swappiness":        {with: "mem_swappiness: 7", want: `"MemorySwappiness":7`},
		"services.*.memswap_limit":         {with: "memswap_limit: 96m", want: `"MemorySwap":100663296`},
		"services.*.pids_limit":            {with: "pids_limit: 7", want: `"PidsLimit":7`},
		"services.*.shm_size":              {with: "shm_size: 1m", want: `"ShmSize":1048576`},
		"services.*.blkio_config.weight":   {with: "blkio_config: {weight: 300}", want: `"BlkioWeight":300`},

		"services.*.deploy.replicas":                          {with: "deploy: {replicas: 3}", want: `"scale":3`},
		"services.*.deploy.update_config.parallelism":         {with: "deploy: {update_config: {parallelism: 7}}", want: `"update":{"parallelism":7`},
		"services.*.deploy.update_config.delay":               {with: "deploy: {update_config: {delay: 5s}}", want: `"delay":5000000000`},
		"services.*.deploy.update_config.monitor":             {with: "deploy: {update_config: {monitor: 5s}}", want: `"monitor":5000000000`},
		"services.*.deploy.update_config.failure_action":      {with: "deploy: {update_config: {failure_action: continue}}", want: `"failureAction":"continue"`},
		"services.*.deploy.update_config.max_failure_ratio":   {with: "deploy: {update_config: {max_failure_ratio: 0.5}}", want: `"maxFailureRatio":0.5`},
		"services.*.deploy.update_config.order":               {with: "deploy: {update_config: {order: start-first}}", want: `"startFirst":true`},
		"services.*.deploy.rollback_config.parallelism":       {with: "deploy: {rollback_config: {parallelism: 7}}", want: `"rollback":{"parallelism":7`},
		"services.*.deploy.rollback_config.delay":             {with: "deploy: {rollback_config: {delay: 5s}}", want: `"delay":5000000000`},
		"services.*.deploy.rollback_config.monitor":           {with: "deploy: {rollback_config: {monitor: 5s}}", want: `"monitor":5000000000`},
		"services.*.deploy.rollback_config.failure_action":    {with: "deploy: {rollback_config: {failure_action: continue}}", want: `"failureAction":"continue"`},
		"services.*.deploy.rollback_config.max_failure_ratio": {with: "deploy: {rollback_config: {max_failure_ratio: 0.5}}", want: `"maxFailureRatio":0.5`},
		"services.*.deploy.rollback_config.order":             {with: "deploy: {rollback_config: {order: start-first}}", want: `"startFirst":true`},
		"services.*.deploy.restart_policy.condition":          {with: "deploy: {restart_policy: {condition: on-failure}}", want: `"RestartPolicy":{"Name":"on-failure"`},
		"services.*.deploy.restart_policy.max_attempts":       {with: "deploy: {restart_policy: {condition: on-failure, max_attempts: 7}}", want: `"MaximumRetryCount":7`},
		"services.*.deploy.resources.limits.cpus":             {with: "deploy: {resources: {limits: {cpus: '0.5'}}}", want: `"NanoCpus":500000000`},
		"services.*.deploy.resources.limits.memory":           {with: "deploy: {resources: {limits: {memory: 64m}}}", want: `"Memory":67108864`},
		"services.*.deploy.resources.limits.pids":             {with: "deploy: {resources: {limits: {pids: 7}}}", want: `"PidsLimit":7`},
		"services.*.deploy.resources.reservations.memory":     {with: "deploy: {resources: {reservations: {memory: 32m}}}", want: `"MemoryReservation":33554432`},
	}
}

func attachmentExamples() map[string]example {
	const port, bind = "{target: 80, published: '81', host_ip: 127.0.0.1, protocol: udp}", "{type: bind, source: /srv, target: /t"
	return map[string]example{
		"services.*.network_mode":                      {with: "network_mode: host", want: `"NetworkMode":"host"`},
		"services.*.networks.*.aliases":                {with: "networks: {front: {aliases: [www]}}", want: `"Aliases":["web","www"]`},
		"services.*.networks.*.gw_priority":            {with: "networks: {front: {gw_priority: 7}}", want: `"GwPriority":7`},
		"services.*.networks.*.ipv4_address":           {with: "networks: {front: {ipv4_address: 10.1.2.3}}", want: `"IPv4Address":"10.1.2.3"`},
		"services.*.networks.*.ipv6_address":           {with: "networks: {six: {ipv6_address: 'fd00::7'}}", want: `"IPv6Address":"fd00::7"`},
		"services.*.networks.*.priority":               {with: "networks: {front: {priority: 7}, default: {}}", want: `"NetworkMode":"shop_front","PortBindings":{},"RestartPolicy":{"Name":"","MaximumRetryCount":0},"AutoRemove":false`, without: "networks: {front: {}, default: {}}"},
		"services.*.networks.*.use_service_name_alias": {with: "networks: {front: {use_service_name_alias: false}}", want: `"shop_front":{"IPAMConfig":null,"Links":null,"Aliases":null`, without: "networks: {front: {}}"},
		"services.*.ports.*.target":                    {with: "ports: [" + port + "]", want: `"80/udp":[`},
		"services.*.ports.*.published":                 {with: "ports: [" + port + "]", want: `"HostPort":"81"`},
		"services.*.ports.*.host_ip":                   {with: "ports: [" + port + "]", want: `"HostIp":"127.0.0.1"`},
		"services.*.ports.*.protocol":                  {with: "ports: [" + port + "]", want: `80/udp`, without: "ports: ['80']"},
		"services.*.expose":                            {with: "expose: ['82']", want: `"ExposedPorts":{"82/tcp":{}}`},
		"services.*.dns":                               {with: "dns: 9.9.9.9", want: `"Dns":["9.9.9.9"]`},
		"services.*.dns_opt":                           {with: "dns_opt: ['ndots:3']", want: `"DnsOptions":["ndots:3"]`},
		"services.*.dns_search":                        {with: "dns_search: example.com", want: `"DnsSearch":["example.com"]`},
		"services.*.extra_hosts":                       {with: "extra_hosts: ['h:10.0.0.1']", want: `"ExtraHosts":["h:10.0.0.1"]`},
		"services.*.volumes_from":                      {with: "volumes_from: ['db:ro']", want: `"VolumesFrom":["db:ro"]`},
		"services.*.tmpfs":                             {with: "tmpfs: '/run:size=1m'", want: `"Tmpfs":{"/run":"size=1m"}`},
		"services.*.volumes.*.type":                    {with: "volumes: ['data:/d']", want: `"Type":"volume","Source":"shop_data","Target":"/d"`},
		"services.*.volumes.*.source":                  {with: "volumes: ['data:/d']", want: `"Source":"shop_data","Target":"/d"`},
		"services.*.volumes.*.target":                  {with: "volumes: ['data:/d']", want: `"Target":"/d"`},
		"services.*.volumes.*.read_only":               {with: "volumes: ['data:/d:ro']", want: `"Target":"/d","ReadOnly":true`},
		"services.*.volumes.*.consistency":             {with: "volumes: [" + bind + ", consistency: cached}]", want: `"Consistency":"cached"`},
		"services.*.volumes.*.bind.propagation":        {with: "volumes: [" + bind + ", bind: {propagation: rslave}}]", want: `"Propagation":"rslave"`},
		"services.*.volumes.*.bind.create_host_path":   {with: "volumes: ['/srv:/t']", want: `"CreateMountpoint":true`, without: "volumes: [" + bind + ", bind: {create_host_path: false}}]"},
		"services.*.volumes.*.bind.recursive":          {with: "volumes: [" + bind + ", bind: {recursive: readonly}}]", want: `"ReadOnlyForceRecursive":true`},
		"services.*.volumes.*.volume.labels":           {with: "volumes: [{type: volume, target: /d, volume: {labels: {l: m}}}]", want: `"Labels":{"l":"m"}`},
		"services.*.volumes.*.volume.nocopy":           {with: "volumes: [{type: volume, target: /d, volume: {nocopy: true}}]", want: `"NoCopy":true`},
		"services.*.volumes.*.volume.subpath":          {with: "volumes: [{type: volume, source: data, target: /d, volume: {subpath: s}}]", want: `"Subpath":"s"`},
		"services.*.volumes.*.tmpfs.size":              {with: "volumes: [{type: tmpfs, target: /d, tmpfs: {size: 1m}}]", want: `"SizeBytes":1048576`},
		"services.*.volumes.*.tmpfs.mode":              {with: "volumes: [{type: tmpfs, target: /d, tmpfs: {mode: 0700}}]", want: `"Mode":448`},
		"services.*.secrets.*.source":                  {with: "secrets: [key]", want: `"Target":"/run/secrets/key","ReadOnly":true`},
		"services.*.secrets.*.target":                  {with: "secrets: [{source: key, target: other}]", want: `"Target":"/run/secrets/other"`},
		"services.*.configs.*.source":                  {with: "configs: [conf]", want: `"Target":"/conf","ReadOnly":true`},
		"services.*.configs.*.target":                  {with: "configs: [{source: conf, target: /etc/c}]", want: `"Target":"/etc/c"`},
	}
}

func partExamples() map[string]example {
	return map[string]example{
		"services.*.build.context":             {with: "build: {context: /srv/web}", want: `"contextDir":"/srv/web"`},
		"services.*.build.dockerfile":          {with: "build: {context: /srv, dockerfile: Other}", want: `Other"`},
		"services.*.build.dockerfile_inline":   {with: "build: {context: /srv, dockerfile_inline: FROM scratch}", want: `"dockerfileText":`},
		"services.*.build.args":                {with: "build: {context: /srv, args: {A: b}}", want: `"args":{"A":"b"}`},
		"services.*.build.labels":              {with: "build: {context: /srv, labels: {l: m}}", want: `"l":"m"`},
		"services.*.build.target":              {with: "build: {context: /srv, target: last}", want: `"target":"last"`},
		"services.*.build.no_cache":            {with: "build: {context: /srv, no_cache: true}", want: `"noCache":true`},
		"services.*.build.pull":                {with: "build: {context: /srv, pull: true}", want: `"pull":true`},
		"services.*.build.network":             {with: "build: {context: /srv, network: none}", want: `"networkMode":"none"`},
		"services.*.build.extra_hosts":         {with: "build: {context: /srv, extra_hosts: ['h:10.0.0.1']}", want: `"extraHosts":["h:10.0.0.1"]`},
		"services.*.build.shm_size":            {with: "build: {context: /srv, shm_size: 1m}", want: `"shmSize":1048576`},
		"services.*.build.tags":                {with: "build: {context: /srv, tags: [web:2]}", want: `"tags":["nginx","web:2"]`},
		"services.*.build.ulimits.*.single":    {with: "build: {context: /srv, ulimits: {nofile: 9}}", want: `"ulimits":["nofile=9:9"]`},
		"services.*.build.ulimits.*.soft":      {with: "build: {context: /srv, ulimits: {nofile: {soft: 7, hard: 9}}}", want: `"ulimits":["nofile=7:`},
		"services.*.build.ulimits.*.hard":      {with: "build: {context: /srv, ulimits: {nofile: {soft: 7, hard: 9}}}", want: `:9"]`},
		"services.*.build.secrets.*.source":    {with: "build: {context: /srv, secrets: [key]}", want: `"secrets":{"key":`},
		"services.*.build.secrets.*.target":    {with: "build: {context: /srv, secrets: [{source: key, target: other}]}", want: `"secrets":{"other":`},
		"services.*.build.ssh.*.id":            {with: "build: {context: /srv, ssh: [mine=/home/key]}", want: `"ssh":{"mine":`},
		"services.*.build.ssh.*.path":          {with: "build: {context: /srv, ssh: [mine=/home/key]}", want: `["/home/key"]`},
		"services.*.build.additional_contexts": {with: "build: {context: /srv, additional_contexts: {a: /other}}", want: `"contexts":{"a":"/other"}`},
		"services.*.volumes.*.image.subpath":   {with: "volumes: [{type: image, source: httpd, target: /i, image: {subpath: s}}]", want: `"Type":"image","Source":"httpd","Target":"/i","ImageOptions":{"Subpath":"s"}`},
		"services.*.build.no_cache_filter":     {with: "build: {context: /srv, no_cache_filter: [base]}", want: `"noCacheFilter":["base"]`},
		"services.*.build.entitlements":        {with: "build: {context: /srv, entitlements: [network.host]}", want: `"allow":["network.host"]`},
		"services.*.build.privileged":          {with: "build: {context: /srv, privileged: true}", want: `"allow":["security.insecure"]`},
		"services.*.build.platforms":           {with: "build: {context: /srv, platforms: [linux/arm64]}", want: `"platform":"linux/arm64"`},
	}
}

func topExamples() map[string]example {
	return map[string]example{
		"name":                                   {with: "name: other", want: `"other_front"`},
		"networks.*.name":                        {with: "networks: {front: {name: n1}}", want: `"Name":"n1"`},
		"networks.*.driver":                      {with: "networks: {front: {driver: overlay}}", want: `"Driver":"overlay"`},
		"networks.*.driver_opts":                 {with: "networks: {front: {driver_opts: {o: p}}}", want: `"Options":{"o":"p"}`},
		"networks.*.external":                    {with: "networks: {front: {external: true}}", want: `"external":true`},
		"networks.*.enable_ipv6":                 {with: "networks: {front: {enable_ipv6: true}}", want: `"EnableIPv6":true`},
		"networks.*.internal":                    {with: "networks: {front: {internal: true}}", want: `"Internal":true`},
		"networks.*.labels":                      {with: "networks: {front: {labels: {l: m}}}", want: `"l":"m"`},
		"networks.*.ipam.driver":                 {with: "networks: {front: {ipam: {driver: other}}}", want: `"IPAM":{"Driver":"other"`},
		"networks.*.ipam.config.*.subnet":        {with: "networks: {front: {ipam: {config: [{subnet: 10.9.0.0/16}]}}}", want: `"Subnet":"10.9.0.0/16"`},
		"networks.*.ipam.config.*.gateway":       {with: "networks: {front: {ipam: {config: [{gateway: 10.9.0.1}]}}}", want: `"Gateway":"10.9.0.1"`},
		"networks.*.ipam.config.*.ip_range":      {with: "networks: {front: {ipam: {config: [{ip_range: 10.9.1.0/24}]}}}", want: `"IPRange":"10.9.1.0/24"`},
		"networks.*.ipam.config.*.aux_addresses": {with: "networks: {front: {ipam: {config: [{aux_addresses: {h: 10.9.0.9}}]}}}", want: `"AuxiliaryAddresses":{"h":"10.9.0.9"}`},
		"volumes.*.name":                         {with: "volumes: {data: {name: v1}}", want: `"Name":"v1"`},
		"volumes.*.driver":                       {with: "volumes: {data: {driver: other}}", want: `"Driver":"other"`},
		"volumes.*.driver_opts":                  {with: "volumes: {data: {driver_opts: {o: p}}}", want: `"DriverOpts":{"o":"p"}`},
		"volumes.*.external":                     {with: "volumes: {data: {external: true}}", want: `"external":true`},
		"volumes.*.labels":                       {with: "volumes: {data: {labels: {l: m}}}", want: `"l":"m"`},
		"secrets.*.file":                         {with: "secrets: {key: {file: /etc/key}}", want: `"Source":"/etc/key"`},
		"configs.*.file":                         {with: "configs: {conf: {file: /etc/conf}}", want: `"Source":"/etc/conf"`},
	}
}

// namedExamples are of keys that are not carried out.
func namedExamples() map[string]example {
	named := map[string]string{
		"models": "models: {m: {model: ai/m}}",
		"jobs":   "jobs: {j: {image: busybox, triggers: {manual: true}}}",

		"services.*.umask":           "umask: 18",
		"services.*.credential_spec": "credential_spec: {file: f}",
		"services.*.cpu_count":       "cpu_count: 1",
		"services.*.cpu_percent":     "cpu_percent: 1",
		"services.*.models":          "models: [m]",
		"services.*.provider":        "provider: {type: p}",
		"services.*.storage_opt":     "storage_opt: {size: 1G}",
		"services.*.cgroup_parent":   "cgroup_parent: other",

		"services.*.networks.*.link_local_ips": "networks: {front: {link_local_ips: [169.254.7.7]}}",
		"services.*.volumes.*.bind.selinux":    "volumes: ['/srv:/t:z']",

		"services.*.deploy.labels":                                   "deploy: {labels: {l: m}}",
		"services.*.deploy.mode":                                     "deploy: {mode: global-job}",
		"services.*.deploy.placement":                                "deploy: {placement: {constraints: [c]}}",
		"services.*.deploy.restart_policy.delay":                     "deploy: {restart_policy: {condition: any, delay: 5s}}",
		"services.*.deploy.restart_policy.window":                    "deploy: {restart_policy: {condition: any, window: 5s}}",
		"services.*.deploy.resources.reservations.cpus":              "deploy: {resources: {reservations: {cpus: '0.5'}}}",
		"services.*.gpus.*.options":                                  "gpus: [{options: {a: b}}]",
		"services.*.deploy.resources.reservations.devices.*.options": "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], options: {a: b}}]}}}",
		"services.*.deploy.resources.reservations.generic_resources": "deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}}",
	}
	for key, value := range map[string]string{
		"provenance": "'true'", "sbom": "'true'", "isolation": "hyperv",
	} {
		named["services.*.build."+key] = "build: {context: /srv, " + key + ": " + value + "}"
	}
	for key, value := range map[string]string{"enable_ipv4": "false"} {
		named["networks.*."+key] = "networks: {front: {" + key + ": " + value + "}}"
	}
	named["networks.*.ipam.options"] = "networks: {front: {ipam: {options: {o: p}}}}"
	for key, value := range map[string]string{"external": "true"} {
		named["secrets.*."+key] = "secrets: {key: {" + key + ": " + value + "}}"
		named["configs.*."+key] = "configs: {conf: {" + key + ": " + value + "}}"
	}
	for key, value := range map[string]string{"labels": "{l: m}", "template_driver": "golang"} {
		named["secrets.*."+key] = "secrets: {key: {file: f, " + key + ": " + value + "}}"
		named["configs.*."+key] = "configs: {conf: {file: f, " + key + ": " + value + "}}"
	}
	for key, value := range map[string]string{"driver": "d", "driver_opts": "{o: p}"} {
		named["secrets.*."+key] = "secrets: {key: {file: f, " + key + ": " + value + "}}"
	}
	out := map[string]example{}
	for pattern, line := range named {
		out[pattern] = example{with: line}
	}
	return out
}
