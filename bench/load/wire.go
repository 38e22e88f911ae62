package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strconv"
)

// net/http costs about 25 µs a message, more than some of the gateways measured here: the core that offers the load would be
// the bottleneck. The few rules of HTTP/1.1 that both sides need fit into this file.

const bufferSize = 16 << 10 // bytes; also the longest header line that is read

var errMalformed = errors.New("malformed HTTP")

// message is how the body of one request or answer is framed.
type message struct {
	first       []byte // the request line or the status line; valid until the next read
	length      int64  // bytes; -1 when there is no Content-Length
	chunked     bool
	closes      bool // the sender closes the connection after this message
	wantsGoOn   bool // Expect: 100-continue
	contentType string
}

// readHead reads up to and including the empty line before the body.
func readHead(r *bufio.Reader, keep []byte, m *message) error {
	line, err := readLine(r)
	if err != nil {
		return err
	}
	*m = message{first: append(keep[:0], line...), length: -1}
	for {
		line, err = readLine(r)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			return errMalformed
		}
		if err := m.header(name, bytes.TrimSpace(value)); err != nil {
			return err
		}
	}
}

func (m *message) header(name, value []byte) error {
	switch len(name) { // most headers are none of these: their length tells, without comparing letters
	case len("expect"):
		m.wantsGoOn = m.wantsGoOn || is(name, "expect") && is(value, "100-continue")
	case len("connection"):
		m.closes = m.closes || is(name, "connection") && is(value, "close")
	case len("content-type"):
		if is(name, "content-type") && bytes.HasPrefix(value, []byte("text/event-stream")) {
			m.contentType = "text/event-stream"
		}
	case len("content-length"):
		if is(name, "content-length") {
			length, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || length < 0 {
				return errMalformed
			}
			m.length = length
		}
	case len("transfer-encoding"):
		m.chunked = m.chunked || is(name, "transfer-encoding") && is(value, "chunked")
	}
	return nil
}

func is(got []byte, want string) bool { return bytes.EqualFold(got, []byte(want)) }

// readBody appends the whole body to buffer and returns it.
func readBody(r *bufio.Reader, m *message, buffer *bytes.Buffer) error {
	buffer.Reset()
	switch {
	case m.chunked:
		if _, err := buffer.ReadFrom(httputil.NewChunkedReader(r)); err != nil {
			return err
		}
		return readTrailer(r)
	case m.length >= 0:
		_, err := io.CopyN(buffer, r, m.length)
		return err
	case m.closes:
		_, err := buffer.ReadFrom(r)
		return err
	}
	return nil
}

// readTrailer reads what the standard library's chunked reader leaves behind: trailer fields and the empty line.
func readTrailer(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
