// Package wire is what the daemon and lus-dns say to each other over a unix
// socket: frames of JSON, with file descriptors beside them.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// The operations.
const (
	Hello = "hello" // who are you
	Serve = "serve" // answer on the two sockets beside the request: UDP, TCP
	Tune  = "tune"  // change networks and upstream of one that is served
	Drop  = "drop"  // stop answering
	Names = "names" // replace a network's table
	List  = "list"  // which containers are served
	Stop  = "stop"  // end the process
)

// Request is one question of the daemon.
type Request struct {
	Op        string                  `json:"op"`
	Container string                  `json:"container,omitempty"`
	Networks  []string                `json:"networks,omitempty"`
	Upstream  []string                `json:"upstream,omitempty"`
	Network   string                  `json:"network,omitempty"`
	Names     map[string][]netip.Addr `json:"names,omitempty"`
}

// Answer is what lus-dns says to it.
type Answer struct {
	Error      string   `json:"error,omitempty"`
	NotFound   bool     `json:"notFound,omitempty"`
	Pid        int      `json:"pid,omitempty"`
	Containers []string `json:"containers,omitempty"`
}

const (
	maxFrame = 8 << 20
	maxFiles = 2
	header   = 5 // length and number of descriptors
)

// Write sends v with files beside it.
func Write(c *net.UnixConn, v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxFrame || len(files) > maxFiles {
		return fmt.Errorf("a message of %d bytes and %d descriptors is too large", len(body), len(files))
	}
	head := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), byte(len(files)))
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix(head, oob, nil); err != nil {
		return err
	}
	_, err = c.Write(body)
	return err
}

// Read receives a frame into v and returns the descriptors beside it, which
// the caller closes. What is malformed is an error and leaves nothing open.
func Read(c *net.UnixConn, v any) ([]*os.File, error) {
	var head [header]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := c.ReadMsgUnix(head[:], oob)
	files := parseRights(oob[:max(oobn, 0)])
	if err == nil && n < header {
		if n == 0 {
			err = io.EOF
		} else {
			_, err = io.ReadFull(c, head[n:])
		}
	}
	if err == nil {
		err = readBody(c, head, len(files), v)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func readBody(r io.Reader, head [header]byte, files int, v any) error {
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return fmt.Errorf("a message of %d bytes is too large", size)
	}
	if int(head[4]) != files {
		return fmt.Errorf("%d descriptors came where %d were announced", files, head[4])
	}
	// Grow with what arrives, not with what is announced.
	body, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err != nil {
		return err
	}
	if len(body) != int(size) {
		return io.ErrUnexpectedEOF
	}
	return json.Unmarshal(body, v)
}

func parseRights(oob []byte) []*os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
