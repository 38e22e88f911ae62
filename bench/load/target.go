package main

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// target is whom to send what.
type target struct {
	address   string // host:port
	request   []byte // head and body
	stream    bool
	minEvents int    // a stream with fewer is short
	has       []byte // what a whole answer has, beside its usage
}

// plan is how to send it.
type plan struct {
	target      *target
	connections int
	rate        float64 // requests/s; 0 is a closed loop
	warmup      time.Duration
	duration    time.Duration
	pid         int      // whose CPU time to read; 0 for none
	cores       []string // whose busy time to read
}

// headers is a repeatable flag.
type headers []string

func (h *headers) String() string { return strings.Join(*h, ", ") }

func (h *headers) Set(value string) error {
	if !strings.Contains(value, ":") {
		return fmt.Errorf("%q is not of the form 'Name: value'", value)
	}
	*h = append(*h, value)
	return nil
}

func parsePlan(args []string) (*plan, error) {
	var p plan
	var extra headers
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	address := flags.String("url", "", "http `URL`")
	bodyFile := flags.String("body", "", "`file` to POST; "+placeholder+" in it becomes a number of its own for each request")
	flags.Var(&extra, "header", "'Name: value'; may be given several times")
	flags.IntVar(&p.connections, "connections", 64, "keep-alive connections")
	flags.Float64Var(&p.rate, "rate", 0, "requests/s (open loop); 0 sends the next request when the last is answered (closed loop)")
	flags.DurationVar(&p.warmup, "warmup", time.Second, "not measured")
	flags.DurationVar(&p.duration, "duration", 4*time.Second, "measured, after the warm-up")
	stream := flags.Bool("stream", false, "the answer is a stream of events that ends with [DONE]")
	minEvents := flags.Int("min-events", 1, "a stream with fewer events is an error")
	has := flags.String("has", `"choices"`, "`text` that every whole answer has, beside its usage")
	flags.IntVar(&p.pid, "cpu-pid", 0, "`process` whose CPU time to report")
	cores := flags.String("cores", "", "comma-separated `cores` whose busy time to report")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	parsed, err := url.Parse(*address)
	if err != nil {
		return nil, err
	}
	if parsed.Scheme != "http" || parsed.Port() == "" {
		return nil, fmt.Errorf("--url %q: http://host:port/path is needed", *address)
	}
	if p.connections < 1 || p.rate < 0 || p.duration <= 0 {
		return nil, fmt.Errorf("--connections, --rate and --duration must be positive")
	}
	body, err := os.ReadFile(*bodyFile)
	if err != nil {
		return nil, err
	}
	if *cores != "" {
		p.cores = strings.Split(*cores, ",")
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json\r\n"+
		"User-Agent: merit-bench\r\nContent-Length: %d\r\n", parsed.RequestURI(), parsed.Host, len(body))
	for _, header := range extra {
		head += header + "\r\n"
	}
	p.target = &target{
		address: parsed.Host, request: append([]byte(head+"\r\n"), body...), stream: *stream, minEvents: *minEvents,
		has: []byte(*has),
	}
	return &p, nil
}
