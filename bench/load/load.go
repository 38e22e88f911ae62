package main

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

const (
	drainTime  = 30 * time.Second      // for what is still unanswered at the end
	faultPause = 10 * time.Millisecond // so that a closed door isn't hammered
)

func runLoad(args []string) error {
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	debug.SetGCPercent(400)
	sequence.Store(time.Now().UnixMicro())
	result, err := p.run()
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// window is what is measured: closed loops count what ends in it, open loops what was due in it.
type window struct{ begin, end time.Time }

func (w window) holds(t time.Time) bool { return !t.Before(w.begin) && t.Before(w.end) }

func (p *plan) run() (*report, error) {
	deadline := time.Now().Add(p.warmup + p.duration + drainTime)
	clients := make([]*client, p.connections)
	for i := range clients {
		clients[i] = newClient(p.target, deadline)
		_ = clients[i].connect() // a failure is met again, and counted, at the first request
	}
	begin := time.Now().Add(p.warmup)
	w := window{begin: begin, end: begin.Add(p.duration)}

	records := make([]*record, p.connections)
	intended := make(chan time.Time, 1+int(p.rate*(p.warmup+p.duration).Seconds()))
	var workers sync.WaitGroup
	for i, c := range clients {
		records[i] = newRecord(w)
		workers.Add(1)
		go func() {
			defer workers.Done()
			defer c.drop()
			if p.rate > 0 {
				openLoop(c, records[i], intended)
			} else {
				closedLoop(c, records[i])
			}
		}()
	}
	failed := make(chan error, 1)
	if p.rate > 0 {
		go func() { failed <- pace(intended, time.Duration(float64(time.Second)/p.rate), w.end) }()
	} else {
		failed <- nil
	}

	time.Sleep(time.Until(w.begin))
	before, err := sampleCPU(p.pid, p.cores)
	if err != nil {
		return nil, err
	}
	sampled := time.Now()
	time.Sleep(time.Until(w.end))
	after, err := sampleCPU(p.pid, p.cores)
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(sampled)
	workers.Wait()
	if err := <-failed; err != nil {
		return nil, err
	}
	opened := 0
	for _, c := range clients {
		opened += c.opened
	}
	result := merge(records, p.duration, p.target.stream)
	result.ConnectionsOpened = opened
	result.CPU = cpuReport(before, after, elapsed)
	return result, nil
}

func closedLoop(c *client, r *record) {
	for {
		sent := time.Now()
		if !sent.Before(r.window.end) {
			return
		}
		a := c.exchange(r.events)
		done := time.Now()
		if r.window.holds(done) {
			r.add(a, sent, done)
		}
		r.addEvents(a)
		if a.fault != "" {
			time.Sleep(faultPause)
		}
	}
}

// openLoop counts from the intended send time: a request that had to wait for a free connection has waited.
func openLoop(c *client, r *record, intended <-chan time.Time) {
	for due := range intended {
		a := c.exchange(r.events)
		if r.window.holds(due) {
			r.add(a, due, time.Now())
		}
		r.addEvents(a)
	}
}
