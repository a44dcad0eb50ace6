package container

// RunProtocol is what a client asks to upgrade to that wants a container, or a
// process in one, made, run and waited for with one request: POST
// /containers/create or /containers/NAME/exec. The connection then carries frames
// as an attach does (one byte of kind, three zeros, the length in four bytes, big
// end first, and so many bytes). An engine that does not know it answers as ever.
const RunProtocol = "lus-run"

// The kinds of frames beside those of output, which are 1 and 2.
const (
	FrameCreated = 16 // CreateResponse; of an exec, its Id alone
	FrameStarted = 17 // nothing; only for who is in the background or on a terminal
	FrameFailed  = 18 // RunFailure: it was made and could not be started
	FrameEnded   = 19 // RunEnd: after all of its output
)

// RunFailure is why a process could not be started: the HTTP status and the words
// that the answer to a start of its own would have.
type RunFailure struct {
	Status  int
	Message string
}

// RunEnd is how a process ended.
type RunEnd struct{ StatusCode int }
