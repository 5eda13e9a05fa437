# The real Debezium beside a database of its own. Sourced by scripts/compare-debezium, which sets $log, $scratch and
# ends the processes in $pids.

sql() {
  PGOPTIONS='-c client_min_messages=warning' "$postgres_bin/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres "$@"
}

start_database() {
  local data="$scratch/data"
  mkdir "$data"
  [ "$(id -u)" != 0 ] || chown postgres "$data"
  (as_database_user "$postgres_bin/initdb" -D "$data" -A trust -U postgres -E UTF8 --locale=C --no-sync) \
    >"$log" 2>&1 || { cat "$log" >&2 && fail "initdb failed"; }
  port=$(free_port)
  (as_database_user "$postgres_bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories="$data" -c wal_level=logical -c fsync=off) >"$scratch/postgres.log" 2>&1 &
  pids+=($!)
  wait_for 30 sql -d postgres -c 'SELECT 1' || { cat "$scratch/postgres.log" >&2 && fail "PostgreSQL does not start"; }
}

# record_debezium SCHEMAS TRANSACTIONS FILE: a fresh database, the workload, and the records without what varies.
record_debezium() {
  local schemas=$1 transactions=$2 file=$3 database="shop_$1_$2" skipped
  sql -d postgres -c "CREATE DATABASE $database"
  sql -d "$database" -f "$root/tests/debezium/setup.sql"
  sql -d "$database" -c 'CREATE PUBLICATION shop FOR ALL TABLES'
  # Truncates are skipped by default; the second run has them.
  [ "$schemas" = false ] && skipped=t || skipped=none
  sed -e "s/@SKIPPED@/$skipped/" -e "s/@TRANSACTIONS@/$transactions/" -e "s/@PORT@/$port/" -e "s/@DATABASE@/$database/" -e "s#@SCRATCH@#$scratch#" \
    "$root/tests/debezium/connector.properties" >"$scratch/connector.properties"
  TZ=UTC java -Xmx400m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$debezium_home/classes:$debezium_home/lib/*" Recorder \
    "$scratch/connector.properties" "$scratch/raw.tsv" "$schemas" >"$scratch/ready" 2>"$log" &
  local recorder=$!
  pids+=("$recorder")
  wait_for 90 grep -q ready "$scratch/ready" || { tail -n 40 "$log" >&2 && fail "Debezium does not start"; }
  wait_for 60 slot_is_active "$database" || { tail -n 40 "$log" >&2 && fail "Debezium has no slot"; }
  sql -d "$database" -f "$root/tests/debezium/workload.sql" >/dev/null
  wait "$recorder" || { tail -n 40 "$log" >&2 && fail "Debezium stopped"; }
  without_what_varies <"$scratch/raw.tsv" | sed "s/$database/shop/g" >"$file"
}

slot_is_active() {
  [ "$(sql -At -d postgres -c "SELECT count(*) FROM pg_replication_slots WHERE active AND database = '$1'")" = 1 ]
}

# LSNs, transaction ids and times of this run, and the run's own id.
without_what_varies() {
  sed -E -e 's/"(ts_ms|ts_us|ts_ns|txId|lsn)":[0-9]+/"\1":0/g' \
    -e 's/"id":"[0-9]+:[0-9]+"/"id":"0:0"/g' -e 's/"sequence":"\[[^]]*\]"/"sequence":"[]"/g' -e 's/(runId=)[0-9a-f-]+/\1-/' \
    -e 's/(LogicalDecodingMessageId@)[0-9a-f]+/\1-/g'
}
