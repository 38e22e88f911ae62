package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, which Linux fixes at 100 for everything that it shows under /proc.
const ticksPerSecond = 100

// coreTimes are one core's counters since boot, in seconds.
type coreTimes struct{ busy, steal float64 }

// cpuSample is what had been consumed at one moment, in CPU seconds.
type cpuSample struct {
	process float64
	cores   map[string]coreTimes
}

// sampleCPU reads the CPU time of a process with all its threads and living descendants, and of the named cores.
// It is read here, not by whoever started this program, so that it covers the measured window and neither warm-up nor drain.
func sampleCPU(pid int, cores []string) (cpuSample, error) {
	sample := cpuSample{cores: map[string]coreTimes{}}
	if pid > 0 {
		seconds, err := processSeconds(pid)
		if err != nil {
			return sample, err
		}
		sample.process = seconds
	}
	if len(cores) == 0 {
		return sample, nil
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return sample, err
	}
	for line := range strings.Lines(string(stat)) {
		fields := strings.Fields(line)
		for _, core := range cores {
			if len(fields) > 8 && fields[0] == "cpu"+core {
				// user nice system idle iowait irq softirq steal
				sample.cores[core] = coreTimes{busy: ticks(fields[1], fields[2], fields[3], fields[6], fields[7]), steal: ticks(fields[8])}
			}
		}
	}
	return sample, nil
}

func processSeconds(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command's name may hold spaces and brackets: the fields are counted from the last bracket.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	seconds := ticks(fields[11], fields[12]) // utime, stime
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range strings.Fields(string(children)) {
			number, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			if more, err := processSeconds(number); err == nil { // else the child has ended
				seconds += more
			}
		}
	}
	return seconds, nil
}

// cpuUse is what was consumed in the measured window.
type cpuUse struct {
	Seconds        float64              `json:"seconds"`         // wall time between the two samples
	ProcessSeconds float64              `json:"process_seconds"` // CPU seconds of the process, its threads and descendants
	Cores          map[string]coreShare `json:"cores"`
}

// coreShare is a part of the window, 0 to 1.
type coreShare struct {
	Busy  float64 `json:"busy"`
	Steal float64 `json:"steal"` // taken by the hypervisor
}

func cpuReport(before, after cpuSample, elapsed time.Duration) *cpuUse {
	use := &cpuUse{Seconds: elapsed.Seconds(), ProcessSeconds: after.process - before.process, Cores: map[string]coreShare{}}
	for core, end := range after.cores {
		begin := before.cores[core]
		use.Cores[core] = coreShare{
			Busy: (end.busy - begin.busy) / elapsed.Seconds(), Steal: (end.steal - begin.steal) / elapsed.Seconds(),
		}
	}
	return use
}

// ticks adds up counters of the kernel, in seconds.
func ticks(counters ...string) float64 {
	sum := 0.0
	for _, counter := range counters {
		value, err := strconv.ParseFloat(counter, 64)
		if err != nil {
			return 0
		}
		sum += value
	}
	return sum / ticksPerSecond
}
