// Command load is the other side of Merit's benchmarks: a mock vendor, a load generator and a plain reverse proxy to compare
// with. Standard library only; Linux only, since it reads /proc and paces with timerfd.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

const usage = `usage: load mock|load|proxy [flags]   (load COMMAND -h lists the flags)

  mock   an OpenAI-compatible vendor, as fast as possible
  load   drives one URL and prints one JSON object
  proxy  net/http/httputil.ReverseProxy, nothing more
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	commands := map[string]func([]string) error{"mock": runMock, "load": runLoad, "proxy": runProxy}
	run, known := commands[os.Args[1]]
	if !known {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	switch err := run(os.Args[2:]); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "load "+os.Args[1]+":", err)
		os.Exit(1)
	}
}
