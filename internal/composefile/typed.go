package composefile

import (
	"fmt"
	"strings"
)

// mistyped says what a key holds that was given something else: complaint is the
// schema's, as "must be a array". The schema names the first of several ways to
// write it, which need not be the one that was meant; an example is.
func mistyped(path, complaint string) (text, hint string) {
	wanted, ok := strings.CutPrefix(complaint, "must be a ")
	if !ok {
		return "", ""
	}
	key := path[strings.LastIndexByte(path, '.')+1:]
	example := howWritten()[key]
	if top, ok := howWritten()["top "+key]; ok && !strings.Contains(path, ".") {
		example = top
	}
	if example == "" && strings.HasPrefix(path, "services.") && strings.Count(path, ".") == 1 {
		example = "image: nginx below it, further to the right, with a space after the colon"
	}
	if example != "" {
		return path + ": this is not how it is written", "write " + example
	}
	kinds := map[string]string{"array": "a list", "mapping": "a mapping (name: value)", "string": "a text", "number": "a number", "boolean": "true or false", "integer": "a number"}
	if kind := kinds[wanted]; kind != "" {
		return path + ": this must be " + kind, ""
	}
	return "", ""
}

// howWritten are examples of keys that are often given something of another kind.
func howWritten() map[string]string {
	const duration = "a time with its unit, as 10s or 1m30s"
	return map[string]string{
		"top services": "services: and below it, further to the right, the name of each service", "top networks": "networks: {front: {}}",
		"top volumes": "volumes: {data: {}}", "top secrets": "secrets: {key: {file: ./key.txt}}", "top configs": "configs: {conf: {file: ./conf.txt}}",
		"build": "build: . or build: {context: .}", "cap_add": "cap_add: [NET_ADMIN]", "cap_drop": "cap_drop: [ALL]",
		"command": `command: echo hello, or command: ["echo", "hello"]`, "entrypoint": `entrypoint: /start.sh, or entrypoint: ["/start.sh"]`,
		"depends_on": "depends_on: [db], or depends_on: {db: {condition: service_healthy}}", "deploy": "deploy: {replicas: 2}",
		"devices": "devices: [/dev/ttyUSB0]", "dns": "dns: 1.1.1.1", "env_file": "env_file: web.env, or env_file: [{path: web.env, required: false}]",
		"environment": "environment: {NAME: value}, or environment: [NAME=value]", "gpus": "gpus: all, or gpus: [{count: 2}]",
		"healthcheck": "healthcheck: {test: curl -f http://localhost, interval: 10s}", "labels": "labels: {name: value}",
		"links": "links: [db]", "logging": "logging: {driver: local}", "networks": "networks: [front]", "ports": `ports: ["8080:80"]`,
		"profiles": "profiles: [dev]", "secrets": "secrets: [key]", "configs": "configs: [conf]", "tmpfs": "tmpfs: /run, or tmpfs: [/run]",
		"volumes": "volumes: [./here:/there]", "user": `user: "1000:1000"`, "extra_hosts": `extra_hosts: ["name:10.0.0.1"]`,
		"stop_grace_period": duration, "interval": duration, "timeout": duration, "start_period": duration, "start_interval": duration,
		"delay": duration, "monitor": duration, "window": duration,
	}
}

// cast reads a complaint about a value that is no number, or neither true nor
// false: the library says which function failed to read it.
func cast(text string) string {
	before, rest, ok := strings.Cut(text, "failed to cast to expected type: ")
	_, value, ok2 := strings.Cut(rest, `parsing "`)
	value, _, ok3 := strings.Cut(value, `": `)
	if !ok || !ok2 || !ok3 {
		return text
	}
	if strings.Contains(rest, "ParseBool") {
		return before + fmt.Sprintf("%q is neither true nor false", value)
	}
	return before + fmt.Sprintf("%q is not a number", value)
}
