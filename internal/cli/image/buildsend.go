package image

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/build"
)

// buildResult is what a build gave.
type buildResult struct {
	build.Result
	image string // its id, empty where none was asked for
}

// buildMessage is one line of the daemon's answer.
type buildMessage struct {
	Text, Image, Error string
	Status             json.RawMessage
	Data               []byte
	Result             *build.Result
	Kind               errs.Kind
	Done               bool
}

// send asks for the build and shows what it tells.
func (b *buildFlags) send(ctx context.Context, e *command.Env, view buildView) (*buildResult, error) {
	ask := client.Request{Method: "POST", Path: "/lus/v1/build", Body: &b.Request}
	if b.Tar {
		head, err := json.Marshal(&b.Request)
		if err != nil {
			return nil, err
		}
		ask.Body, ask.Type, ask.Stream = nil, "application/x-lus-build", io.MultiReader(bytes.NewReader(head), b.Context)
	}
	resp, err := e.Client.Send(ctx, ask)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	res := &buildResult{}
	for news := client.NewMessages(resp.Body); ; {
		var m buildMessage
		switch err := news.Next(&m); {
		case err != nil:
			return nil, errs.New(errs.Unavailable, "the daemon ended in the middle of the build: %w; build again, finished steps are kept", err)
		case m.Error != "":
			return nil, errs.New(m.Kind, "%s", m.Error)
		case m.Result != nil:
			res.Result = *m.Result
		case m.Data != nil:
			if _, err := e.Out.Write(m.Data); err != nil {
				return nil, err
			}
		case m.Done || m.Image != "":
			res.image = m.Image
			return res, nil
		case m.Status != nil:
			if err := view.status(m.Status); err != nil {
				return nil, err
			}
		default:
			view.text(m.Text)
		}
	}
}

// metadata is the file that tells programs of the result: BuildKit's words,
// with the values that are JSON in base64 as what they are.
func metadata(told map[string]string) ([]byte, error) {
	out := map[string]any{}
	for key, value := range told {
		out[key] = value
		data, err := base64.StdEncoding.DecodeString(value)
		if err == nil && len(data) > 0 && data[0] == '{' && json.Valid(data) {
			out[key] = json.RawMessage(data)
		}
	}
	return json.MarshalIndent(out, "", "  ")
}
