# What all scripts here share: where things are, how to speak, how to become another user.
# Sourced, never run. Wants bash, coreutils and util-linux only: a bare Debian has no curl, ps or bc.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
local_dir="$root/.local"                # git-ignored; everything that need not be system-wide
postgres_bin=/usr/lib/postgresql/15/bin # Debian keeps the server programs off PATH

say() { printf '%s\n' "$*"; }
head_line() { printf '\n== %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    fail "needs root for: $* (run as root, or install sudo)"
  fi
}

# PostgreSQL refuses to run as root. Becomes the process: the caller's $! is the program's own pid.
as_database_user() {
  if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid=postgres --regid=postgres --clear-groups --no-new-privs -- "$@"
  else
    exec "$@"
  fi
}

# A TCP port of 127.0.0.1 that nothing listens on, outside the range of outgoing connections.
free_port() {
  local port
  for _ in $(seq 200); do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s\n' "$port"
      return
    fi
  done
  fail "no free TCP port found on 127.0.0.1"
}

# Waits until a command succeeds: wait_for SECONDS COMMAND...
wait_for() {
  local tries=$(($1 * 10))
  shift
  for _ in $(seq "$tries"); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  return 1
}

# Ends a process by pid: asks, waits up to 5 s, then kills.
end_process() {
  local pid=$1
  kill -TERM "$pid" 2>/dev/null || return 0
  for _ in $(seq 50); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}
