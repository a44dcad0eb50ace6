package client

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// said is a run whose daemon says this, and is gone.
func said(frames ...string) *Run {
	return &Run{Stream: &Stream{conn: &conn{r: bufio.NewReader(strings.NewReader(strings.Join(frames, "")))}, Framed: true}}
}

func frameOf(kind byte, text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind, 0, 0, 0}, uint32(len(text)))) + text
}

func TestFollowEndsWithTheExitCode(t *testing.T) {
	var out, errOut bytes.Buffer
	r := said(frameOf(1, "one "), frameOf(2, "wrong"), frameOf(1, "two"), frameOf(container.FrameEnded, `{"StatusCode":7}`), frameOf(1, "never"))
	if code, err := r.Follow(&out, &errOut); code != 7 || err != nil || out.String() != "one two" || errOut.String() != "wrong" {
		t.Errorf("%d, %v, %q, %q", code, err, out.String(), errOut.String())
	}
}

func TestFollowSaysWhatCutItShort(t *testing.T) {
	for what, c := range map[string]struct {
		run  *Run
		kind errs.Kind
		says string
	}{
		"the daemon is gone":      {said(frameOf(1, "x")), errs.Unavailable, "ended the connection"},
		"it is gone in a head":    {said(frameOf(1, "x"), "\x01\x00"), errs.Unavailable, "ended the connection"},
		"it is gone in output":    {said(frameOf(1, "much")[:10]), errs.Internal, "broke off"},
		"it is gone in a word":    {said(frameOf(container.FrameEnded, `{"StatusCode":7}`)[:12]), errs.Unavailable, "ended the connection"},
		"it could not start":      {said(frameOf(container.FrameFailed, `{"Status":409,"Message":"no room"}`)), errs.Conflict, "no room"},
		"a word out of turn":      {said(frameOf(container.FrameStarted, "")), errs.Internal, "17 where 19 was due"},
		"a word that is none":     {said(frameOf(99, "?")), errs.Internal, "99 where 19 was due"},
		"a word without a bound":  {said("\x13\x00\x00\x00\xff\xff\xff\xff"), errs.Internal, "more to say"},
		"a stream there is not":   {said(frameOf(7, "x")), errs.Internal, "names stream 7"},
		"an end that is no end":   {said(frameOf(container.FrameEnded, `[]`)), errs.Internal, "not what was expected"},
		"a failure without words": {said(frameOf(container.FrameFailed, `]`)), errs.Internal, "invalid"},
	} {
		_, err := c.run.Follow(&bytes.Buffer{}, &bytes.Buffer{})
		if err == nil || errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v of kind %v", what, err, errs.KindOf(err))
		}
		var refused *Refusal
		if errors.As(err, &refused) != (what == "it could not start") {
			t.Errorf("%s: a refusal is %v", what, refused)
		}
	}
}

// What a daemon says may be a stranger's word.
func FuzzFollow(f *testing.F) {
	f.Add([]byte(frameOf(1, "out") + frameOf(container.FrameEnded, `{"StatusCode":7}`)))
	f.Add([]byte(frameOf(container.FrameFailed, `{"Status":404,"Message":"none"}`)))
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out, errOut bytes.Buffer
		_, err := said(string(data)).Follow(&out, &errOut)
		if out.Len()+errOut.Len() > len(data) {
			t.Errorf("%d and %d bytes of output of %d", out.Len(), errOut.Len(), len(data))
		}
		if err == nil && !bytes.Contains(data, []byte{container.FrameEnded}) {
			t.Error("an end was seen that nobody told")
		}
	})
}
