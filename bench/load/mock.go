package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// mock is a vendor that answers every chat completion alike, and every message of Anthropic's; of those it has no streams.
type mock struct {
	latency       time.Duration // before the first byte
	chunkInterval time.Duration // between two chunks of a stream
	answers       *answers
	completions   atomic.Int64 // answered, streamed or not; /stats shows it
}

func runMock(args []string) error {
	flags := flag.NewFlagSet("mock", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:9000", "`address`")
	latency := flags.Duration("latency", 0, "before the first byte of an answer")
	chunks := flags.Int("chunks", 60, "content chunks of a stream")
	interval := flags.Duration("chunk-interval", 0, "between two chunks of a stream")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	debug.SetGCPercent(400)
	m := &mock{latency: *latency, chunkInterval: *interval, answers: newAnswers(*chunks)}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go m.serve(conn)
	}
}

// serve answers the requests of one connection until either side has had enough.
func (m *mock) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, bufferSize)
	var request message
	var body bytes.Buffer
	keep := make([]byte, 0, 128)
	for {
		if err := readHead(reader, keep, &request); err != nil {
			return
		}
		if request.wantsGoOn {
			if _, err := conn.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
				return
			}
		}
		closes := request.closes
		if request.length < 0 && !request.chunked {
			request.closes = false // a request without either has no body
		}
		if err := readBody(reader, &request, &body); err != nil {
			return
		}
		if err := m.answer(conn, request.first, body.Bytes()); err != nil || closes {
			return
		}
	}
}

func (m *mock) answer(conn net.Conn, requestLine, body []byte) error {
	switch {
	case bytes.HasPrefix(requestLine, []byte("POST /v1/chat/completions ")):
	case bytes.HasPrefix(requestLine, []byte("POST /v1/messages ")):
		time.Sleep(m.latency)
		m.completions.Add(1)
		_, err := conn.Write(m.answers.message)
		return err
	case bytes.HasPrefix(requestLine, []byte("GET /stats ")):
		counts := fmt.Sprintf(`{"completions":%d}`, m.completions.Load())
		_, err := conn.Write(plain("200 OK", "application/json", "", counts))
		return err
	default:
		_, err := conn.Write(plain("404 Not Found", "application/json", "", `{"error":{"message":"not found","type":"invalid_request_error"}}`))
		return err
	}
	if m.latency > 0 {
		time.Sleep(m.latency)
	}
	m.completions.Add(1)
	if !asks(body, "stream") {
		_, err := conn.Write(m.answers.whole)
		return err
	}
	return m.stream(conn, asks(body, "include_usage"))
}

// asks finds `"flag":true` without parsing: the bodies come from the load generator, through gateways that may add a space.
func asks(body []byte, flag string) bool {
	return bytes.Contains(body, []byte(`"`+flag+`":true`)) || bytes.Contains(body, []byte(`"`+flag+`": true`))
}

// stream writes each chunk by itself, so that each reaches the wire by itself.
func (m *mock) stream(conn net.Conn, withUsage bool) error {
	if _, err := conn.Write(m.answers.streamHead); err != nil {
		return err
	}
	for i, chunk := range m.answers.chunks {
		if i > 0 && m.chunkInterval > 0 {
			time.Sleep(m.chunkInterval)
		}
		if _, err := conn.Write(chunk); err != nil {
			return err
		}
	}
	if withUsage {
		if _, err := conn.Write(m.answers.usage); err != nil {
			return err
		}
	}
	_, err := conn.Write(m.answers.done)
	return err
}
