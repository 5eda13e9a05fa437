# The acts of scripts/demo, in the order they happen. Sourced by it; it sets $work and owns $postgres_pid,
# $headwater_pid and $finished.

database=shop

build_headwater() {
  if [ -n "${HEADWATER_BIN:-}" ]; then return; fi
  head_line 'Building headwater (release; a few minutes the first time)'
  (cd "$root" && cargo build --quiet --release -p headwater)
  HEADWATER_BIN="${CARGO_TARGET_DIR:-$root/target}/release/headwater"
}

# A cluster of its own in $work, with logical WAL, for loopback only, and a role that may replicate and owns
# the shop: no superuser is needed.
start_postgres() {
  head_line 'Starting a private PostgreSQL with wal_level = logical'
  postgres_port=$(free_port)
  export PGPASSWORD
  PGPASSWORD=$(od -An -N9 -tx1 /dev/urandom | tr -d ' \n')
  mkdir "$work/postgres"
  printf '%s\n' "$PGPASSWORD" >"$work/postgres/password"
  if [ "$(id -u)" = 0 ]; then chown -R postgres:postgres "$work/postgres"; fi
  (cd / && as_database_user "$postgres_bin/initdb" -D "$work/postgres/data" -U postgres -E UTF8 --locale=C.UTF-8 \
    --auth=scram-sha-256 --pwfile="$work/postgres/password" --no-sync) >"$work/postgres.log" 2>&1 ||
    { cat "$work/postgres.log" >&2; fail "initdb failed"; }
  (cd / && as_database_user "$postgres_bin/postgres" -D "$work/postgres/data" -p "$postgres_port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c wal_level=logical -c fsync=off \
    -c shared_buffers=32MB) >>"$work/postgres.log" 2>&1 &
  postgres_pid=$!
  wait_for 30 "$postgres_bin/pg_isready" -q -h 127.0.0.1 -p "$postgres_port" ||
    { cat "$work/postgres.log" >&2; fail "PostgreSQL did not come up"; }
  admin -q -c "CREATE ROLE $database LOGIN REPLICATION PASSWORD '$PGPASSWORD'" \
    -c "CREATE DATABASE $database OWNER $database"
  shop -q -f "$root/docker/shop/schema.sql"
  say "PostgreSQL 15 listens on 127.0.0.1:$postgres_port; the shop has $(count_tables) tables"
}

admin() { psql -X -v ON_ERROR_STOP=1 "postgres://postgres@127.0.0.1:$postgres_port/postgres" "$@"; }
shop() { psql -X -v ON_ERROR_STOP=1 "$(shop_url)" "$@"; }
shop_url() { printf 'postgres://%s@127.0.0.1:%s/%s' "$database" "$postgres_port" "$database"; }
count_tables() { shop -At -c "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"; }

start_headwater() {
  head_line 'Starting headwater'
  kafka=127.0.0.1:$(default_or_free_port 9092)
  http=127.0.0.1:$(default_or_free_port 9080)
  say "\$ headwater dev $(shop_url) --kafka $kafka --http $http --data $work/data"
  "$HEADWATER_BIN" dev "$(shop_url)" --kafka "$kafka" --http "$http" --data "$work/data" \
    </dev/null >"$work/headwater.out" 2>"$work/headwater.log" &
  headwater_pid=$!
  wait_for 30 capture_runs_or_has_ended || true
  [ "$(http_status "/healthz/instances/$database")" = 200 ] || fail "headwater did not get to the state running"
  show_log
  say ''
  say "Topics that kcat sees:"
  kcat -b "$kafka" -L 2>/dev/null | sed -n 's/^  topic "\([^"]*\)".*/  \1/p'
}

show_log() { sed 's/^/  | /' "$work/headwater.out" "$work/headwater.log"; }

default_or_free_port() {
  if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then free_port; else printf '%s\n' "$1"; fi
}

capture_runs_or_has_ended() {
  is_gone "$headwater_pid" || [ "$(http_status "/healthz/instances/$database")" = 200 ]
}

# The status code of a GET, without curl.
http_status() {
  local version status rest
  if ! { exec 4<>"/dev/tcp/${http%:*}/${http#*:}"; } 2>/dev/null; then return 0; fi
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" "$http" >&4
  read -r -t 5 version status rest <&4 || status=
  exec 4>&- 4<&-
  printf '%s\n' "$status"
}

# Each act: what the application does, then what has arrived. The numbers are the row changes it commits, in the
# order customers, orders, order_lines, price_changes.
do_business() {
  act 'Two customers sign up (two rows in one statement)' 2 0 0 0 \
    "INSERT INTO customers VALUES (1, 'Ada', 'ada@example.com'), (2, 'Grace', NULL);"
  act 'An order: one transaction over two tables' 0 1 2 0 \
    "BEGIN;
INSERT INTO orders VALUES (100, 1, 'new', 34.50);
INSERT INTO order_lines VALUES (100, 1, 'teapot', 1, 24.50), (100, 2, 'cup', 2, 5.00);
COMMIT;"
  act 'A transaction that is rolled back: nothing may arrive' 0 0 0 0 \
    "BEGIN;
INSERT INTO orders VALUES (999, 1, 'never', 1.00);
ROLLBACK;"
  act 'Updates: before and after, since the tables have REPLICA IDENTITY FULL' 1 1 0 0 \
    "UPDATE orders SET status = 'paid' WHERE id = 100;
UPDATE customers SET email = 'grace@example.com' WHERE id = 2;"
  act 'A table without primary key: inserts are captured' 0 0 0 1 \
    "INSERT INTO price_changes VALUES ('teapot', 26.00, '2026-12-01');"
  act 'The schema changes in mid-stream' 1 0 0 0 \
    "ALTER TABLE customers ADD COLUMN vip boolean NOT NULL DEFAULT false;
INSERT INTO customers (id, name, vip) VALUES (3, 'Edsger', true);"
  act 'Deletes, cascading' 0 1 2 0 \
    "DELETE FROM orders WHERE id = 100;"
}

topics=(customers orders order_lines price_changes)
seen=(0 0 0 0)
expected=(0 0 0 0)

# act TITLE CUSTOMERS ORDERS ORDER_LINES PRICE_CHANGES SQL
act() {
  head_line "$1"
  printf '%s\n' "$6" | sed 's/^/  sql> /'
  shop -q -c "$6"
  local changes=("$2" "$3" "$4" "$5") i
  for i in "${!topics[@]}"; do
    expected[i]=$((expected[i] + changes[i]))
    show_arrivals "$i"
  done
}

topic() { printf '%s.public.%s' "$database" "${topics[$1]}"; }

# Waits until the topic has what is expected of it, then shows what kcat reads behind what was shown before.
show_arrivals() {
  if [ "${expected[$1]}" -gt "${seen[$1]}" ]; then
    wait_for 10 has_records "$1" "${expected[$1]}" ||
      fail "$(topic "$1") has $(end_of "$1") records after 10 s, expected ${expected[$1]}"
    # Without the source block a line fits a screen.
    kcat -b "$kafka" -C -q -e -t "$(topic "$1")" -o "${seen[$1]}" -f '  %t @%o  key %k\n      %s\n' |
      sed -E 's/"source":\{[^}]*\},?//; s/,?"(ts_ms|ts_us|ts_ns)":[0-9]+//g; s/,"transaction":null//'
    seen[$1]=$(end_of "$1")
  fi
}

end_of() { kcat -b "$kafka" -Q -t "$(topic "$1"):0:-1" 2>/dev/null | sed -n 's/.*offset \([0-9]*\)$/\1/p'; }
has_records() { [ "$(end_of "$1")" -ge "$2" ]; }

# What was committed arrived, once: as many records as row changes in every topic, and nothing rolled back.
check_arrivals() {
  head_line 'Checking'
  sleep 0.3 # what must not arrive gets time to
  local i count
  for i in "${!topics[@]}"; do
    count=$(kcat -b "$kafka" -C -q -e -t "$(topic "$i")" -o beginning -f 'record\n' | grep -c record || true)
    [ "$count" = "${expected[$i]}" ] || fail "$(topic "$i"): ${expected[$i]} changes were committed, $count arrived"
    say "  $(topic "$i"): ${expected[$i]} changes committed, $count arrived"
  done
  if kcat -b "$kafka" -C -q -e -t "$(topic 1)" -o beginning | grep -q '"never"'; then
    fail "a row that was rolled back arrived"
  fi
}

say_what_next() {
  head_line 'Everything runs until Ctrl-C. Try in another terminal:'
  cat <<NEXT
  PGPASSWORD=$PGPASSWORD psql '$(shop_url)'
      and there: INSERT INTO customers VALUES (4, 'Barbara', NULL);
  kcat -b $kafka -C -t $database.public.customers -o beginning
  kcat -b $kafka -L
  http://$http/healthz/instances/$database
  http://$http/metrics
  headwater's log: $work/headwater.log
NEXT
}

# Runs at every exit. Ends what was started, by pid; keeps the logs only on the screen, and only on failure.
clean_up() {
  local status=$1
  trap - EXIT
  if [ -z "$finished" ]; then
    say ''
    [ -s "$work/headwater.log" ] && { say "headwater's log:"; show_log; } >&2
  fi
  [ -n "$headwater_pid" ] && end_process "$headwater_pid"
  # SIGINT is PostgreSQL's fast stop: it does not wait for clients.
  if [ -n "$postgres_pid" ]; then
    kill -INT "$postgres_pid" 2>/dev/null || true
    wait_for 10 is_gone "$postgres_pid" || kill -QUIT "$postgres_pid" 2>/dev/null || true
  fi
  rm -rf "$work"
  # Ctrl-C is how a finished demo is meant to end.
  if [ "$finished" ] && [ "$status" = 130 ]; then status=0; fi
  exit "$status"
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }
