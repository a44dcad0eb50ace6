package wire_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

func TestMessagesOfAnySizeTravel(t *testing.T) {
	for _, size := range []int{0, 1000, wire.MaxInline, 3 << 20} {
		req := wire.Request{ID: 7, Op: wire.Create, Create: &task.Create{Key: task.Key{Container: "c"}, Record: bytes.Repeat([]byte("r"), size)}}
		frame, fd, err := wire.Encode(req)
		if err != nil {
			t.Fatal(err)
		}
		if len(frame) > wire.MaxInline+1 {
			t.Errorf("%d bytes: a frame of %d", size, len(frame))
		}
		var fds []int
		if fd >= 0 {
			fds = append(fds, fd)
		}
		var got wire.Request
		rest, err := wire.Decode(frame, fds, &got)
		if err != nil || len(rest) != 0 {
			t.Fatal(rest, err)
		}
		if got.ID != 7 || got.Op != wire.Create || !bytes.Equal(got.Create.Record, req.Create.Record) {
			t.Errorf("%d bytes: something else came", size)
		}
	}
	if _, _, err := wire.Encode(wire.Request{Name: strings.Repeat("x", wire.MaxFile)}); !errs.Is(err, errs.Invalid) {
		t.Errorf("too long: %v", err)
	}
}

func TestErrorsTravel(t *testing.T) {
	step := &wire.StepError{Errno: int(unix.ENOENT), Step: "exec /bin/foo"}
	err := wire.FromError(&errs.Error{Kind: errs.CommandNotFound, Msg: "no such program", Err: step}).Err()
	var got *wire.StepError
	if !errs.Is(err, errs.CommandNotFound) || err.Error() != "no such program" || !errors.As(err, &got) || *got != *step {
		t.Errorf("%v, %+v", err, got)
	}
	if wire.FromError(nil).Err() != nil {
		t.Error("no error became one")
	}
	if err := wire.FromError(errs.New(errs.NotFound, "100%% gone")).Err(); err.Error() != "100% gone" || !errs.Is(err, errs.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestDecodeClosesWhatItRefuses(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd, err := unix.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	var req wire.Request
	if _, err := wire.Decode([]byte("J["), []int{fd}, &req); !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
	if n, _ := r.Read(make([]byte, 1)); n != 0 {
		t.Error("the descriptor is still open")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`J{"id":1,"op":"create","create":{"c":"x","streams":{"kind":"log"}}}`), []byte("{}"))
	f.Add([]byte("F"), []byte(`{"id":2,"op":"go","key":{"c":"x"}}`))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, frame, file []byte) {
		fd, err := unix.MemfdCreate("fuzz", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Skip(err)
		}
		_, _ = unix.Write(fd, file)
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK)
		var req wire.Request
		rest, err := wire.Decode(frame, []int{fd}, &req)
		if err != nil && rest != nil {
			t.Error("descriptors of a refused message")
		}
		wire.CloseAll(rest)
		wire.Descriptors(frame)
	})
}
