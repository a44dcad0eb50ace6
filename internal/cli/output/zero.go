package output

// Docker's clients read answers into types of their own, so that a template finds a
// field also where the answer leaves it out or has null there. These are the fields
// of which that is so, with what they are then.

// shape is what the fields of an object are where an answer has nothing; a shape in
// it is of an object within.
type shape map[string]any

var (
	nothing *struct{}         // shown as <nil>
	noList  []string          // shown as []
	noMap   map[string]string // shown as map[]
)

// shapeOf tells the shape of a document by what only documents of its kind have.
func shapeOf(doc map[string]any) shape {
	has := func(key string) bool { _, ok := doc[key]; return ok }
	switch {
	case has("HostConfig"):
		return containerShape()
	case has("RootFS"):
		return shape{"Config": imageConfigShape(), "RepoTags": noList, "RepoDigests": noList, "Variant": "", "OsVersion": ""}
	case has("IPAM"):
		return shape{
			"IPAM": shape{"Options": noMap, "Config": noList}, "Options": noMap, "Labels": noMap, "Containers": noMap, "Peers": noList, "Services": noMap,
		}
	case has("Mountpoint"):
		return shape{"Options": noMap, "Labels": noMap, "Status": noMap, "UsageData": nothing, "ClusterVolume": nothing, "CreatedAt": ""}
	}
	return nil
}

// imageConfigShape is of what an image says about its containers.
func imageConfigShape() shape {
	return shape{
		"User": "", "ExposedPorts": noMap, "Env": noList, "Entrypoint": noList, "Cmd": noList, "Volumes": noMap, "WorkingDir": "",
		"Labels": noMap, "StopSignal": "", "ArgsEscaped": false, "Healthcheck": nothing, "OnBuild": noList, "Shell": noList,
	}
}

func containerShape() shape {
	config := imageConfigShape()
	config["NetworkDisabled"], config["MacAddress"], config["StopTimeout"] = false, "", nothing
	host := shape{
		"PortBindings": noMap, "Annotations": noMap, "StorageOpt": noMap, "Tmpfs": noMap, "Sysctls": noMap,
		"MemorySwappiness": nothing, "OomKillDisable": nothing, "PidsLimit": nothing, "Init": nothing,
	}
	for _, list := range []string{
		"Binds", "VolumesFrom", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "Links", "SecurityOpt",
		"BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps",
		"Devices", "DeviceCgroupRules", "DeviceRequests", "Ulimits", "Mounts", "MaskedPaths", "ReadonlyPaths",
	} {
		host[list] = noList
	}
	return shape{
		"State": shape{"Health": nothing}, "Config": config, "HostConfig": host, "Args": noList, "ExecIDs": noList, "Mounts": noList,
		"GraphDriver": shape{"Data": noMap}, "SizeRw": nothing, "SizeRootFs": nothing,
		"NetworkSettings": shape{"Ports": noMap, "Networks": noMap, "SecondaryIPAddresses": noList, "SecondaryIPv6Addresses": noList},
	}
}

// fill puts what a field is where a document has nothing.
func (s shape) fill(doc map[string]any) {
	for key, zero := range s {
		if inner, ok := zero.(shape); ok {
			if m, ok := doc[key].(map[string]any); ok {
				inner.fill(m)
			}
		} else if doc[key] == nil {
			doc[key] = zero
		}
	}
}
