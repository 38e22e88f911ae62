package main

import (
	"encoding/binary"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// pace sends the intended send times, one every interval from now on, until end; then it closes the channel.
//
// Go's own timers wake up to a millisecond late, twice what is being measured. A timerfd is waited for in the same poller as
// the sockets and fires within microseconds.
func pace(intended chan<- time.Time, interval time.Duration, end time.Time) error {
	defer close(intended)
	const clockMonotonic, nonblock, closeOnExec = 1, syscall.O_NONBLOCK, syscall.O_CLOEXEC
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, nonblock|closeOnExec, 0)
	if errno != 0 {
		return os.NewSyscallError("timerfd_create", errno)
	}
	timer := os.NewFile(fd, "timerfd")
	defer timer.Close()
	each := syscall.NsecToTimespec(interval.Nanoseconds())
	setting := [2]syscall.Timespec{each, each} // period, first
	next := time.Now().Add(interval)
	if _, _, errno := syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&setting)), 0, 0, 0); errno != 0 {
		return os.NewSyscallError("timerfd_settime", errno)
	}
	var expired [8]byte
	for next.Before(end) {
		if _, err := timer.Read(expired[:]); err != nil {
			return err
		}
		for range binary.NativeEndian.Uint64(expired[:]) {
			intended <- next
			next = next.Add(interval)
		}
	}
	return nil
}
