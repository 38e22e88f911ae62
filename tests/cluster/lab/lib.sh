# Processes of the lab: start, stop, wait. Sourced after env.sh.
# shellcheck shell=bash
T0=$(date +%s%N)
say() { # with the time since the script began
  local ms=$((($(date +%s%N) - T0) / 1000000))
  printf '%4d.%02ds  %s\n' $((ms / 1000)) $((ms % 1000 / 10)) "$*"
}

# The processes must not inherit the caller's lock files: a lock would outlive the script that took it.
close_inherited() { local fd; for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd > 2)) && [[ $fd != 255 ]] && eval "exec $fd>&-" 2>/dev/null; done; true; }

# `ours PID`: is it a process that this state directory's up.sh started? Pids are reused, and others run the same programs.
ours() { { tr '\0' '\n' <"/proc/$1/environ"; } 2>/dev/null | grep -qxF "MERIT_LAB_INSTANCE=$STATE"; }
running() { [[ -s $PID/$1.pid ]] && ours "$(cat "$PID/$1.pid")"; }

# `start NAME COMMAND…` in the node's network namespace if there is a node; the command is kept for `restart`.
start() {
  local name=$1; shift
  local ns=(); [[ $FULL == 1 ]] && ns=(nsenter --net="/run/netns/$NETNS" --)
  printf '%q ' "$@" >"$PID/$name.cmd"
  (close_inherited; exec env -u HTTP_PROXY -u HTTPS_PROXY -u http_proxy -u https_proxy MERIT_LAB_INSTANCE="$STATE" setsid "${ns[@]}" "$@") </dev/null >>"$LOG/$name.log" 2>&1 &
  echo $! >"$PID/$name.pid"
}

restart() { # `restart NAME`: the same command again
  local command; eval "command=($(cat "$PID/$1.cmd"))"
  start "$1" "${command[@]}"
}

stop() { # `stop NAME [SIGNAL]`: TERM, then KILL after 10 s
  local name=$1 signal=${2:-TERM} pid i
  if running "$name"; then
    pid=$(cat "$PID/$name.pid")
    kill -s "$signal" "$pid" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do ours "$pid" || break; sleep 0.1; done
    if ours "$pid"; then kill -9 "$pid" 2>/dev/null || true; echo "killed $name, which ignored SIG$signal"; fi
  fi
  rm -f "$PID/$name.pid"
}

wait_for() { # `wait_for SECONDS PROCESS COMMAND…`: until the command succeeds, as long as the process lives
  local end=$((SECONDS + $1)) process=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$(cat "$PID/$process.pid")" 2>/dev/null; then echo "$process died:" >&2; tail -20 "$LOG/$process.log" >&2; return 1; fi
    if ((SECONDS >= end)); then echo "timed out: $*" >&2; tail -20 "$LOG/$process.log" >&2; return 1; fi
    sleep 0.1
  done
}
