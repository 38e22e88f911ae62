module merit.dev/bench/load

go 1.24
