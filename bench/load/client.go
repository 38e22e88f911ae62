package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// placeholder in a body is replaced by 16 digits that no other request has: nothing can be answered from a cache, and nothing
// that was computed for one request can be remembered for the next.
const placeholder = "@SEQUENCE__NO16@"

// sequence starts at the clock's microseconds: the numbers of later runs never meet those of earlier ones.
var sequence atomic.Int64

// client is one keep-alive connection.
type client struct {
	target   *target
	conn     net.Conn
	reader   *bufio.Reader
	lines    *bufio.Reader // the decoded body of a stream
	request  []byte        // head and body; the placeholder is overwritten in place
	seen     []int         // offsets of the placeholders
	body     bytes.Buffer
	keep     []byte
	deadline time.Time
	opened   int // connections, with this client's first
}

// answer is what one request came to.
type answer struct {
	status int
	fault  string // empty when the answer is a 200 and complete
	first  time.Time
	events []time.Time // arrival of each event of a stream, [DONE] aside; valid until the next exchange
}

func newClient(t *target, deadline time.Time) *client {
	c := &client{target: t, deadline: deadline, request: bytes.Clone(t.request), keep: make([]byte, 0, 128)}
	for from := 0; ; {
		at := bytes.Index(c.request[from:], []byte(placeholder))
		if at < 0 {
			break
		}
		c.seen = append(c.seen, from+at)
		from += at + len(placeholder)
	}
	return c
}

func (c *client) connect() error {
	conn, err := net.DialTimeout("tcp", c.target.address, 5*time.Second)
	if err != nil {
		return err
	}
	c.opened++
	c.conn = conn
	c.reader = bufio.NewReaderSize(conn, bufferSize)
	c.lines = bufio.NewReaderSize(nil, bufferSize)
	return conn.SetDeadline(c.deadline) // one for all requests: setting it per request would cost a timer each
}

func (c *client) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// exchange sends one request and reads its whole answer. events is reused.
func (c *client) exchange(events []time.Time) answer {
	result := answer{events: events[:0]}
	if c.conn == nil {
		if err := c.connect(); err != nil {
			result.fault = "connect"
			return result
		}
	}
	if len(c.seen) > 0 {
		number := strconv.FormatInt(sequence.Add(1), 10)
		for _, at := range c.seen {
			copy(c.request[at:], number)
		}
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return c.broken(result, err, "write")
	}
	var head message
	for result.status < 200 { // interim answers have no body
		if err := readHead(c.reader, c.keep, &head); err != nil {
			return c.broken(result, err, "head")
		}
		result.status = statusOf(head.first)
		if result.status == 0 {
			return c.broken(result, errMalformed, "head")
		}
	}
	var err error
	if c.target.stream && result.status == 200 {
		err = c.readStream(&head, &result)
	} else {
		err = c.readWhole(&head, &result)
	}
	if err != nil {
		return c.broken(result, err, "body")
	}
	if head.closes {
		c.drop()
	}
	return result
}

// broken names what went wrong with the connection, and drops it.
func (c *client) broken(result answer, err error, where string) answer {
	c.drop()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		result.fault = where + "_timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		result.fault = where + "_closed"
	case errors.Is(err, errMalformed):
		result.fault = where + "_malformed"
	default:
		result.fault = where + "_reset"
	}
	return result
}

func (c *client) readWhole(head *message, result *answer) error {
	if err := readBody(c.reader, head, &c.body); err != nil {
		return err
	}
	body := bytes.TrimSpace(c.body.Bytes())
	switch {
	case result.status != 200:
		result.fault = "status_" + strconv.Itoa(result.status)
	case !bytes.Contains(body, c.target.has), !bytes.Contains(body, []byte(`"usage"`)), !bytes.HasSuffix(body, []byte("}")):
		result.fault = "incomplete_answer"
	}
	return nil
}

func (c *client) readStream(head *message, result *answer) error {
	if head.contentType != "text/event-stream" {
		result.fault = "not_a_stream"
		return readBody(c.reader, head, &c.body)
	}
	var source io.Reader = c.reader
	switch {
	case head.chunked:
		source = httputil.NewChunkedReader(c.reader)
	case head.length >= 0:
		source = io.LimitReader(c.reader, head.length)
	}
	c.lines.Reset(source)
	done := false
	for {
		line, err := c.lines.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		payload, isData := bytes.CutPrefix(line, []byte("data:"))
		if !isData {
			continue
		}
		payload = bytes.TrimSpace(payload)
		switch {
		case bytes.Equal(payload, []byte("[DONE]")):
			done = true
		case bytes.HasPrefix(payload, []byte(`{"error"`)):
			result.fault = "error_event"
		default:
			result.events = append(result.events, time.Now())
		}
	}
	switch {
	case result.fault != "":
	case !done:
		result.fault = "stream_without_done"
	case len(result.events) < c.target.minEvents:
		result.fault = "short_stream"
	}
	if head.chunked {
		return readTrailer(c.reader)
	}
	return nil
}

// statusOf reads "HTTP/1.1 200 OK"; 0 when it is none.
func statusOf(line []byte) int {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0
	}
	return status
}
