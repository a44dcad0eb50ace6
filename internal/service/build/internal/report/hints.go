package report

import "strings"

// hint is what to do about an error that says one of these words.
type hint struct{ says, do string }

// hints are tried in order. An error that comes with a suggestion of the
// frontend's own needs none of them.
func hints() []hint {
	return []hint{
		{"unknown flag", "see https://docs.docker.com/reference/dockerfile/ for the flags of each instruction"},
		{"unknown instruction", "an instruction is FROM, RUN, CMD, LABEL, EXPOSE, ENV, ADD, COPY, ENTRYPOINT, VOLUME, USER, WORKDIR, ARG, ONBUILD, STOPSIGNAL, HEALTHCHECK or SHELL; a command goes behind RUN"},
		{"no build stage in current context", "a Dockerfile begins with FROM; only ARG may stand before it"},
		{"contains no stages", "a Dockerfile needs a FROM: FROM image"},
		{"file with no instructions", "the Dockerfile is empty: it begins with FROM"},
		{"cannot be empty", "the Dockerfile is empty: it begins with FROM"},
		{"target stage", "a stage is named by FROM image AS name"},
		{"invalid stage index", "stages are counted from 0, and only earlier ones can be copied from; a name is safer: FROM image AS name"},
		{"unterminated heredoc", "a here-document ends with a line that is its word and nothing else"},
		{"invalid escape token", "the escape character is \\ or `, as in # escape=`"},
		{"FROM requires", "write FROM image, or FROM image AS name"},
		{"should not be blank", "the variable is empty: give its ARG, which stands before the first FROM, a default, or pass --build-arg NAME=value"},
		{"must be lowercase", "names of images are written in small letters"},
		{"COPY requires at least two", "write COPY source destination"},
		{"ADD requires at least two", "write ADD source destination"},
		{"ENV must have two", "write ENV name=value"},
		{"requires exactly one argument", "it has exactly one word behind it, as in WORKDIR /app"},
		{"invalid containerPort", "a port is a number, alone or with its protocol, as in EXPOSE 80 53/udp"},
		{"missing unit in duration", "a duration has a unit: 5s, 1m30s"},
		{"looking for matching", "close the quote, or put \\ before one that is meant as itself"},
		{"in substitution", "a variable is $NAME or ${NAME}; close its brace"},
		{"to be in JSON form", `it takes JSON, which has double quotes: ["/bin/sh", "-c"]`},
		{"invalid signal", "a signal is a name such as SIGTERM, or a number"},
		{"invalid checksum", "a checksum is sha256: and 64 hexadecimal digits"},
		{"no SSH key", "pass your agent or a key on: --ssh default, or --ssh ID=FILE"},
		{"unable to find user", "make the user in an earlier step (adduser, useradd), or give its number"},
		{"unable to find group", "make the group in an earlier step (addgroup, groupadd), or give its number"},
		{"unexpected commit digest", "what the registry sent is not what its digest says: build again, or take the image from elsewhere"},
		{"unexpected EOF", "the connection broke off: build again, what came is kept"},
		{"connection refused", "nobody listens at that address: is it right, and does its server run?"},
		{"no such host", "the name cannot be resolved: is it right, and is there a network?"},
		{"not a directory", "a part of that path is a file, not a folder"},
		{"invalid syntax", "a mode is octal, as 755, or symbolic, as u=rwX,go=rX"},
	}
}

// hintOf is the first hint for an error's text, empty where there is none.
func hintOf(text string) string {
	if strings.Contains(text, "did you mean") {
		return ""
	}
	if id := between(text, "secret ", ": not found"); id != "" && !strings.Contains(id, " ") {
		return "pass the secret on: --secret id=" + id + ",src=FILE"
	}
	for _, h := range hints() {
		if strings.Contains(text, h.says) {
			return h.do
		}
	}
	return ""
}
