package keeper_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	initproc "lus/internal/linux/init"
	"lus/internal/model/task"
	"lus/internal/store/logs"
)

// BenchmarkStart is create, go, the end of a program that does nothing, ack.
func BenchmarkStart(b *testing.B) {
	k := start(b)
	ends := make(chan task.Status, 16)
	watcher := k.connect()
	go func() { _ = watcher.Watch(b.Context(), func(s task.Status) { ends <- s }) }()
	f := script(b, "", func(l *initproc.Last) { l.Name, l.Args = "/bin/true", []string{"true"} })
	for b.Loop() {
		c := k.logged("c")
		if _, err := k.Create(b.Context(), c, f); err != nil {
			b.Fatal(err)
		}
		if _, err := k.Go(b.Context(), c.Key); err != nil {
			b.Fatal(err)
		}
		<-ends
		if err := k.Ack(b.Context(), c.Key, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstOutput is the time from a byte typed to its echo in the log,
// after a rest.
func BenchmarkFirstOutput(b *testing.B) {
	k := start(b)
	c := k.logged("cat")
	c.Streams.Stdin = true
	k.run(c, "exec cat")
	in, err := k.Stdin(b.Context(), c.Key)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	hub := logs.NewHub()
	defer hub.Close()
	r, err := logs.Open(k.logPath("cat"), logs.Options{Tail: -1, Hub: hub})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var total time.Duration
	for b.Loop() {
		time.Sleep(12 * time.Millisecond)
		begin := time.Now()
		if _, err := in.WriteString("x\n"); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
		total += time.Since(begin)
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "us/echo")
}

// BenchmarkOutput is what one writer without a pause gets through.
func BenchmarkOutput(b *testing.B) {
	k := start(b)
	const size = 512 << 20
	for b.Loop() {
		c := k.logged("dd")
		c.Streams.Log.MaxSize = 64 << 20
		k.run(c, "exec dd if=/dev/zero bs=64k count=8192 status=none")
		k.end(c.Key)
		if err := k.Ack(b.Context(), c.Key, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(size)
}

// BenchmarkIdle reports the memory of a keeper of the given program (KEEPER)
// with 500 idle processes.
func BenchmarkIdle(b *testing.B) {
	program := os.Getenv("KEEPER")
	if program == "" {
		b.Skip("KEEPER names no lus-keeper to measure")
	}
	k := start(b)
	if err := k.Quit(b.Context()); err != nil {
		b.Fatal(err)
	}
	<-k.Done()
	waitGone(b, k.Greeting().Pid)
	k.self = program
	k.ensure()
	for i := range 500 {
		k.run(k.logged("c"+strconv.Itoa(i)), "exec sleep 600")
	}
	for b.Loop() {
		time.Sleep(time.Second)
	}
	b.ReportMetric(float64(pss(b, k.Greeting().Pid)), "kB-PSS")
}
