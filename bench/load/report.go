package main

import (
	"slices"
	"strconv"
	"time"
)

// record is what one connection has seen.
type record struct {
	window    window
	latencies []time.Duration // of complete answers
	first     []time.Duration // to the first event
	gaps      []time.Duration // between two events of one stream
	seen      int             // events
	statuses  map[string]int
	faults    map[string]int
	events    []time.Time // reused by each exchange
}

func newRecord(w window) *record {
	return &record{window: w, statuses: map[string]int{}, faults: map[string]int{}}
}

func (r *record) add(a answer, from, done time.Time) {
	if a.status > 0 {
		r.statuses[strconv.Itoa(a.status)]++
	}
	if a.fault != "" {
		r.faults[a.fault]++
		return
	}
	r.latencies = append(r.latencies, done.Sub(from))
	if len(a.events) > 0 {
		r.first = append(r.first, a.events[0].Sub(from))
	}
}

// addEvents counts events by their own time, so that a stream on the window's edge counts with the part that is inside.
func (r *record) addEvents(a answer) {
	for i, at := range a.events {
		if !r.window.holds(at) {
			continue
		}
		r.seen++
		if i > 0 {
			r.gaps = append(r.gaps, at.Sub(a.events[i-1]))
		}
	}
	r.events = a.events
}

// report is the printed object. Times are in milliseconds or seconds, as the names say.
type report struct {
	Requests          int            `json:"requests"` // complete and correct
	Errors            map[string]int `json:"errors"`
	Statuses          map[string]int `json:"statuses"`
	Seconds           float64        `json:"seconds"`
	RPS               float64        `json:"rps"`
	LatencyMS         *percentiles   `json:"latency_ms"`
	Stream            *streamReport  `json:"stream,omitempty"`
	ConnectionsOpened int            `json:"connections_opened"`
	CPU               *cpuUse        `json:"cpu"`
}

type streamReport struct {
	FirstEventMS    *percentiles `json:"first_event_ms"`
	Events          int          `json:"events"`
	EventsPerSecond float64      `json:"events_per_second"`
	InterEventMS    *percentiles `json:"inter_event_ms"`
}

type percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func merge(records []*record, duration time.Duration, stream bool) *report {
	result := &report{Errors: map[string]int{}, Statuses: map[string]int{}, Seconds: duration.Seconds()}
	var latencies, first, gaps []time.Duration
	events := 0
	for _, r := range records {
		latencies = append(latencies, r.latencies...)
		first = append(first, r.first...)
		gaps = append(gaps, r.gaps...)
		events += r.seen
		for kind, n := range r.faults {
			result.Errors[kind] += n
		}
		for status, n := range r.statuses {
			result.Statuses[status] += n
		}
	}
	result.Requests = len(latencies)
	result.RPS = float64(len(latencies)) / result.Seconds
	result.LatencyMS = summarise(latencies)
	if stream {
		result.Stream = &streamReport{
			FirstEventMS: summarise(first), Events: events, EventsPerSecond: float64(events) / result.Seconds, InterEventMS: summarise(gaps),
		}
	}
	return result
}

// summarise gives nearest-rank percentiles in milliseconds; nil when there is nothing to summarise.
func summarise(times []time.Duration) *percentiles {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		rank := int(share*float64(len(times))+0.999999) - 1
		return float64(times[min(max(rank, 0), len(times)-1)].Nanoseconds()) / 1e6
	}
	return &percentiles{P50: at(0.50), P90: at(0.90), P99: at(0.99), Max: at(1)}
}
