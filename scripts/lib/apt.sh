# Debian's packages. Sourced by scripts/install, which sets $log.

apt_lists_are_fresh=

# install_packages WHAT PACKAGE...: one line said, the noise kept in $log and shown if it fails.
install_packages() {
  local what=$1
  shift
  have apt-get || fail "$what is missing and there is no apt-get: install by hand: $*"
  if [ -z "$apt_lists_are_fresh" ]; then
    as_root apt-get update -q >"$log" 2>&1 || fail_with_log "apt-get update failed"
    apt_lists_are_fresh=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" \
    >"$log" 2>&1 </dev/null || fail_with_log "apt-get install $* failed"
  say "installed $what ($*)"
}

fail_with_log() {
  tail -n 20 "$log" >&2
  fail "$1; the last lines of its output stand above"
}

# The package would make and start a cluster on port 5432. Nobody asked for one, so its setting is switched off
# while the package is set up, and put back.
install_postgres15() {
  if [ -x "$postgres_bin/postgres" ]; then return; fi
  local setting=/etc/postgresql-common/createcluster.conf
  [ -e "$setting" ] || install_packages 'the frame of PostgreSQL' postgresql-common
  local kept
  kept=$(mktemp)
  cp "$setting" "$kept"
  printf 'create_main_cluster = false\n' | as_root tee -a "$setting" >/dev/null
  install_packages 'PostgreSQL 15' postgresql-15 postgresql-client-15
  as_root cp "$kept" "$setting"
  rm -f "$kept"
}

install_java_tools() {
  have javac || install_packages 'a JDK' default-jdk-headless
  have mvn || install_packages 'Maven' maven
}
