package composefile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// semantic finds errors that name services rather than places.
func semantic(msg string, docs documents) finding {
	if rest, ok := strings.CutPrefix(msg, "dependency cycle detected: "); ok {
		first, _, _ := strings.Cut(rest, " -> ")
		f := docs.at("services", first, "depends_on")
		f.hint = "a service cannot wait for itself: remove one of these depends_on"
		return f
	}
	if rest, ok := strings.CutPrefix(msg, "services.scale: can't set container_name and "); ok {
		service, _, _ := strings.Cut(rest, " ")
		f := docs.at("services", service, "container_name")
		f.text = fmt.Sprintf("services.%s: container_name can be given to one container only", service)
		f.hint = "remove container_name, or scale to 1"
		return f
	}
	for _, look := range []func(string, documents) (finding, bool){parts, loop, variables, included, undefined, portNumber, decoding, placed} {
		if f, ok := look(msg, docs); ok {
			return f
		}
	}
	return finding{file: docs.first()}
}

// parts finds entries of lists, and values that stand in a line of their own,
// which the library's message quotes or numbers.
func parts(msg string, docs documents) (finding, bool) {
	switch {
	case strings.HasSuffix(msg, " must be a mapping") && !strings.HasPrefix(msg, "top-level"):
		path := strings.TrimSuffix(msg, " must be a mapping")
		f := docs.at(strings.Split(path, ".")...)
		f.text, f.hint = mistyped(path, "must be a mapping")
		return f, true
	case strings.HasSuffix(msg, "is missing a mount target"):
		_, place, _ := strings.Cut(msg, "service volume ")
		place, _, _ = strings.Cut(place, " ")
		path := strings.Split(place, ".")
		f := docs.at(path...)
		f.text, f.hint = strings.Join(path, ".")+": it does not say where in the container it is seen", "write SOURCE:TARGET without a space, as ./data:/data, or give it target:"
		return f, true
	case strings.HasPrefix(msg, "invalid IP address: "):
		f := docs.scalar(strings.TrimPrefix(msg, "invalid IP address: "))
		f.hint = "write [ADDRESS:]HOST:CONTAINER, as 127.0.0.1:8080:80"
		return f, true
	case strings.HasPrefix(msg, "invalid ranges specified for container and host Ports: "):
		inside, host, _ := strings.Cut(strings.TrimPrefix(msg, "invalid ranges specified for container and host Ports: "), " and ")
		f := docs.scalar(host + ":" + inside)
		f.text, f.hint = fmt.Sprintf("ports: %s of the host and %s of the container are not equally many", host, inside), "make the ranges equally long, as 8000-8002:80-82, or write one port of the container"
		return f, true
	case strings.HasPrefix(msg, "non-string key in "):
		path, key, _ := strings.Cut(strings.TrimPrefix(msg, "non-string key in "), ": ")
		f := docs.at(strings.Split(path, ".")...)
		f.text = path + ": the key " + key + " is a number"
		f.hint = "write it in quotes"
		if strings.HasSuffix(path, ".ports") {
			f.hint = "ports are a list: begin the line with a hyphen, as - \"8080:80\""
		}
		return f, true
	case strings.HasPrefix(msg, "healthcheck.test must start"):
		f := healthTest(docs)
		f.text, f.hint = msg, "write test: curl -f http://localhost, or test: [CMD, curl, -f, http://localhost]"
		return f, true
	}
	return finding{}, false
}

// healthTest finds the first test of a healthcheck that does not begin as one.
func healthTest(docs documents) finding {
	for _, doc := range docs {
		all, _ := child(doc.root, "services")
		if all == nil {
			continue
		}
		for i := 0; i+1 < len(all.Content); i += 2 {
			check, _ := child(all.Content[i+1], "healthcheck")
			test, line := child(check, "test")
			if test != nil && len(test.Content) > 0 && !slices.Contains([]string{"CMD", "CMD-SHELL", "NONE"}, test.Content[0].Value) {
				return finding{file: doc.file, line: line}
			}
		}
	}
	return finding{file: docs.first()}
}

// loop finds files and services that lead back to themselves.
func loop(msg string, docs documents) (finding, bool) {
	lines := strings.Split(msg, "\n")
	switch {
	case strings.HasPrefix(msg, "Circular reference:") && len(lines) > 1:
		var names []string
		for _, l := range lines[1 : len(lines)-1] {
			name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "extends "), " in ")
			names = append(names, name)
		}
		// The library begins anywhere in the circle; the same file gets the same message.
		first := slices.Index(names, slices.Min(names))
		names = slices.Concat(names[first:], names[:first], names[first:first+1])
		f := docs.at("services", names[0], "extends")
		f.text, f.hint = "extends goes round in a circle: "+strings.Join(names, " -> "), "a service cannot extend itself: remove one of these extends"
		return f, true
	case strings.HasPrefix(msg, "include cycle detected:"):
		f := docs.at("include")
		var files []string
		for _, l := range lines[1:] {
			files = append(files, strings.TrimPrefix(strings.TrimSpace(l), "include "))
		}
		f.text, f.hint = "include goes round in a circle: "+strings.Join(files, " -> "), "a file cannot include itself: remove one of these include"
		return f, true
	}
	return finding{}, false
}

// variables finds a line of an env_file that is none.
func variables(msg string, _ documents) (finding, bool) {
	rest, ok := strings.CutPrefix(msg, "failed to read ")
	file, why, cut := strings.Cut(rest, ": line ")
	number, text, named := strings.Cut(why, ": ")
	if !ok || !cut || !named {
		return finding{}, false
	}
	line, err := strconv.Atoi(number)
	if err != nil {
		return finding{}, false
	}
	return finding{file: file, line: line, text: "this is no variable: " + text, hint: "write NAME=value, one a line; a line that begins with # is left out"}, true
}

// included finds an include that is no list of files.
func included(msg string, docs documents) (finding, bool) {
	if !strings.HasPrefix(msg, "`include` must be a list") {
		return finding{}, false
	}
	f := docs.at("include")
	f.text, f.hint = "include: this is not a list of files", "write include: [other.yaml]"
	return f, true
}

// undefined finds what a service names and nobody defines.
func undefined(msg string, docs documents) (finding, bool) {
	quoted := strings.Split(msg, `"`)
	if rest, ok := strings.CutPrefix(msg, "cannot extend service "); ok && len(quoted) >= 4 {
		f := docs.at("services", quoted[1], "extends")
		f.text, f.hint = "cannot extend service "+rest, "the service to extend stands under services: of that file: correct the name"
		return f, true
	}
	if rest, ok := strings.CutPrefix(msg, "service "); ok && strings.Contains(msg, "mutually exclusive") {
		service, _, _ := strings.Cut(rest, " ")
		f := docs.at("services", strings.Trim(service, `"`), "network_mode")
		f.hint = "keep one of the two"
		return f, true
	}
	if !strings.HasPrefix(msg, "service ") || len(quoted) < 3 {
		return finding{}, false
	}
	// A service that shares what another has depends on it, without saying so.
	for _, key := range []string{"network_mode", "ipc", "pid", "volumes_from", "links"} {
		f := docs.at("services", quoted[1], key)
		if strings.Contains(msg, "depends on undefined service") && strings.Contains(lineOf(f.file, f.line), quoted[len(quoted)-2]) && strings.Contains(lineOf(f.file, f.line), key) {
			f.text = fmt.Sprintf("services.%s.%s: there is no service %s", quoted[1], key, quoted[len(quoted)-2])
			f.hint = "define it under services:, or correct the name"
			return f, true
		}
	}
	for _, c := range []struct{ words, key, hint string }{
		{"depends on undefined service", "depends_on", "define it under services:, or correct the name"},
		{"undefined volume", "volumes", "name it under the top-level volumes:"},
		{"undefined network", "networks", "name it under the top-level networks:"},
		{"undefined secret", "secrets", "name it under the top-level secrets:"},
		{"undefined config", "configs", "name it under the top-level configs:"},
		{"undefined model", "models", "name it under the top-level models:"},
		{"neither an image nor a build", "", "give it image: or build:"},
	} {
		if strings.Contains(msg, c.words) {
			path := slices.DeleteFunc([]string{"services", quoted[1], c.key}, func(k string) bool { return k == "" })
			f := docs.at(path...)
			f.hint = c.hint
			return f, true
		}
	}
	return docs.at("services", quoted[1]), true
}

func portNumber(msg string, docs documents) (finding, bool) {
	if !strings.Contains(msg, "hostPort") && !strings.Contains(msg, "containerPort") {
		return finding{}, false
	}
	f := docs.scalar(strings.TrimSpace(msg[strings.LastIndexByte(msg, ':')+1:]))
	f.hint = "a port is a number from 1 to 65535, as in \"8080:80\""
	return f, true
}

// decoding reads "decoding failed due to the following error(s): 'services[web].mem_limit' invalid size: 'lots'".
func decoding(msg string, docs documents) (finding, bool) {
	_, rest, ok := strings.Cut(msg, "decoding failed due to the following error(s):")
	quoted := strings.SplitN(rest, "'", 3)
	if !ok || len(quoted) < 3 {
		return finding{}, false
	}
	path := strings.Split(strings.NewReplacer("[", ".", "]", "").Replace(quoted[1]), ".")
	f := docs.at(path...)
	first, _, _ := strings.Cut(strings.TrimSpace(quoted[2]), "\n")
	if _, value, ok := strings.Cut(first, "parsing "); ok && strings.HasPrefix(first, "strconv.") {
		value, _, _ = strings.Cut(value, ": ")
		first = value + " is not a number"
	}
	f.text = strings.Join(path, ".") + ": " + first
	return f, true
}

// placed finds the place in a message that begins with one, as in
// "volumes.data: conflicting parameters".
func placed(msg string, docs documents) (finding, bool) {
	first, _, _ := strings.Cut(msg, " ")
	path := strings.FieldsFunc(strings.TrimSuffix(first, ":"), func(r rune) bool { return strings.ContainsRune(".[]", r) })
	if len(path) == 0 || !slices.Contains([]string{"services", "networks", "volumes", "secrets", "configs", "include"}, path[0]) {
		return finding{}, false
	}
	f := docs.at(path...)
	return f, f.line > 0
}
