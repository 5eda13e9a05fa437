//! Consumers of Alibaba Cloud DTS, unmodified, against a broker with logins and a real PostgreSQL: the Java SDK in both
//! of its modes. What the other clients do is in `dts_demos`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use headwater_tests::harness::{
    Configured, Coordinator, DtsClient, DtsLogin, Headwater, Member, Mode, Options, Position,
    Postgres, Version, clock, port,
};
use serde_json::Value;
use tempfile::TempDir;

const TOPIC: &str = "shop";
const ACCOUNT: &str = "dtstest";
const PASSWORD: &str = "Checkpoint-24";

/// Groups of the instance.
const GROUPS: [&str; 3] = ["dtsae1", "dtsae2", "dtsae3"];

/// A checkpoint before everything.
const LONG_AGO: &str = "1000000000";

/// A JVM that starts, logs in, looks up and reads has this much, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(90);

const TABLE: &str = "CREATE TABLE kinds (id bigint PRIMARY KEY, small smallint, price numeric(12,2), ratio float8, \
    name varchar(40), body text, flag bool, day date, at time, stamp timestamp, moment timestamptz, \
    raw bytea, doc json, binary_doc jsonb, uid uuid, tags text[], odd numeric); \
    ALTER TABLE kinds REPLICA IDENTITY FULL;";

/// What the SDK shows of each column, said in SQL.
const SHOWN: [(&str, &str); 17] = [
    ("id", "id::text"),
    ("small", "small::text"),
    ("price", "price::text"),
    ("ratio", "ratio::text"),
    ("name", "name"),
    ("body", "body"),
    ("flag", "flag::text"),
    ("day", "day::text"),
    ("at", "at::text"),
    ("stamp", "stamp::text"),
    ("moment", "(moment AT TIME ZONE 'UTC')::text"),
    ("raw", "upper(encode(raw, 'hex'))"),
    ("doc", "doc::text"),
    (
        "binary_doc",
        "upper(encode(convert_to(binary_doc::text, 'UTF8'), 'hex'))",
    ),
    ("uid", "uid::text"),
    ("tags", "tags::text"),
    ("odd", "odd::text"),
];

struct World {
    postgres: Postgres,
    headwater: Headwater,
    login_address: String,
    data: TempDir,
    rows: u32,
}

impl World {
    fn start() -> Self {
        let postgres = Postgres::start(Version::V15);
        postgres.execute(TABLE);
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let secret = data.path().join("password");
        fs::write(&secret, PASSWORD).expect("it is ours");
        let login_address = format!("127.0.0.1:{}", port::free());
        let mut options = Options::of(&postgres, &data.path().join("data"));
        options.instance = TOPIC.to_owned();
        let group = |id: &str| {
            format!(
                "[[instance.group]]\nname = \"{id}\"\nid = \"{id}\"\naccount = {ACCOUNT:?}\npassword = {{ file = {secret:?} }}\n"
            )
        };
        options.configured = Some(Configured {
            listeners: format!(
                "[[kafka.listener]]\nlisten = {login_address:?}\nprotocol = \"SASL_PLAINTEXT\"\n"
            ),
            storage: String::new(),
            instance: "[[instance.feed]]\nname = \"dts\"\nformat = \"dts-avro\"\n".to_owned()
                + &GROUPS.map(group).concat(),
        });
        Self {
            headwater: Headwater::start(&options),
            postgres,
            login_address,
            data,
            rows: 0,
        }
    }

    /// A directory for a client's files.
    fn directory(&self, name: &str) -> PathBuf {
        let path = self.data.path().join(name);
        fs::create_dir_all(&path).expect("it is ours");
        path
    }

    fn login<'a>(&'a self, group: &'a str) -> DtsLogin<'a> {
        DtsLogin {
            bootstrap: &self.login_address,
            account: ACCOUNT,
            password: PASSWORD,
            group,
            topic: TOPIC,
        }
    }

    fn sdk(&self, mode: Mode, group: &str, directory: &Path) -> Member {
        DtsClient::Sdk2.start(self.login(group), (mode, LONG_AGO), directory, &[])
    }

    /// Inserts, updates and deletes in transactions of several sizes. The id of the last insert, which stays.
    fn work(&mut self) -> String {
        let first = self.rows;
        for (rows, keep) in [(1, 1), (40, 30), (1, 1)] {
            let (from, to) = (self.rows, self.rows + rows);
            self.rows = to;
            self.postgres.execute(&format!(
                "BEGIN; INSERT INTO kinds SELECT n, n % 9 - 4, n * 1.25, n / 7.0, 'größe ' || n, repeat('x', n * 97 % 5000), \
                 n % 2 = 0, date '2024-02-28' + n, time '04:05:06.5' + n * interval '1 s 7 us', \
                 timestamp '2024-02-29 12:34:56.789012' + n * interval '1 day', '2024-02-29 12:34:56+02', decode(lpad(to_hex(n), 6, '0'), 'hex'), \
                 '{{\"a\": 1}}', '{{\"b\": 2}}', md5(n::text)::uuid, array['a', n::text], CASE WHEN n % 5 > 0 THEN 'NaN'::numeric END \
                 FROM generate_series({from}, {to} - 1) n; \
                 UPDATE kinds SET price = price + 1, body = CASE WHEN id % 3 > 0 THEN body END WHERE id >= {from} AND id % 4 = 0; \
                 DELETE FROM kinds WHERE id >= {from} + {keep}; COMMIT;"
            ));
        }
        assert!(self.rows > first);
        (self.rows - 1).to_string()
    }

    /// The table as the database shows it.
    fn table(&self) -> Table {
        let columns = SHOWN.map(|(_, sql)| format!("coalesce({sql}, '<null>')"));
        let sql = format!("SELECT {} FROM kinds ORDER BY id", columns.join(", "));
        let rows = self.postgres.query(&sql).into_iter();
        rows.map(|row| {
            let values = SHOWN.iter().zip(&row);
            let named = values.map(|((name, _), value)| ((*name).to_owned(), shown(value)));
            (row[0].clone(), named.collect())
        })
        .collect()
    }

    fn position(&self, group: &str) -> Option<Position> {
        let coordinator = Coordinator {
            bootstrap: &self.headwater.bootstrap(),
            group,
        };
        coordinator.position(TOPIC).expect("the broker answers")
    }

    fn wait_members(&self, group: &str, count: usize) {
        let coordinator = Coordinator {
            bootstrap: &self.headwater.bootstrap(),
            group,
        };
        coordinator.wait_members(count, LIMIT);
    }

    /// Waits until the group has committed a record at or behind `offset`.
    fn wait_committed(&self, group: &str, offset: i64) -> Position {
        let position = clock::poll(LIMIT, || {
            self.position(group)
                .filter(|position| position.offset >= offset)
        });
        position.unwrap_or_else(|| panic!("{group} stands at {:?}", self.position(group)))
    }
}

type Table = BTreeMap<String, BTreeMap<String, String>>;

/// Java's text of a number or time and PostgreSQL's, made the same.
fn shown(value: &str) -> String {
    if let (Ok(number), true) = (value.parse::<f64>(), value.contains(['.', 'E', 'e'])) {
        return number.to_string();
    }
    value.strip_suffix(".0").unwrap_or(value).to_owned()
}

/// Waits until the client has shown a row change of this id; its offset.
fn wait_for_row(client: &Member, id: &str) -> i64 {
    let found = clock::poll(LIMIT, || {
        let lines = client.lines();
        let line = lines.iter().rev().find(|line| line["after"]["id"] == id)?;
        line["offset"].as_i64()
    });
    found.unwrap_or_else(|| panic!("no row {id} after {LIMIT:?}:\n{}", client.said()))
}

fn image(line: &Value, name: &str) -> Option<BTreeMap<String, String>> {
    let image = line[name].as_object()?;
    let values = image.iter().map(|(column, value)| {
        let text = value.as_str().map_or_else(|| "<null>".to_owned(), shown);
        (column.clone(), text)
    });
    Some(values.collect())
}

/// Offsets without a gap, ids that are offsets, transactions that are whole and do not nest.
fn check_order(lines: &[Value]) {
    let mut offsets = lines.iter().map(|line| line["offset"].as_i64());
    let mut next = offsets.next().flatten();
    let mut open = false;
    for line in lines {
        assert_eq!(line["offset"].as_i64(), next, "{line}");
        assert_eq!(line["id"], line["offset"]);
        next = next.map(|offset| offset + 1);
        match line["operation"].as_str() {
            Some("BEGIN") => assert!(!std::mem::replace(&mut open, true), "{line}"),
            Some("COMMIT") => assert!(std::mem::replace(&mut open, false), "{line}"),
            Some("HEARTBEAT") => assert!(!open, "{line}"),
            _ => assert!(open, "{line}"),
        }
    }
}

/// The table that the changes make; each old row is the one that the changes before had made.
fn replay(lines: &[Value]) -> Table {
    let mut table = Table::new();
    for line in lines {
        let (before, after) = (image(line, "before"), image(line, "after"));
        if let Some(before) = before {
            assert_eq!(table.remove(&before["id"]), Some(before), "{line}");
        }
        if let Some(after) = after {
            assert_eq!(line["object"], "shop.public.kinds");
            assert!(line["key"].as_str().is_some_and(|key| key.contains("id")));
            assert_eq!(table.insert(after["id"].clone(), after), None, "{line}");
        }
    }
    table
}

/// What the client has shown up to `offset`.
fn up_to(client: &Member, offset: i64) -> Vec<Value> {
    let mut lines = client.lines();
    lines.retain(|line| line["offset"].as_i64().is_some_and(|at| at <= offset));
    lines
}

#[test]
fn the_sdk_reads_every_change_in_order_with_the_databases_own_values() {
    let mut world = World::start();
    world.work();
    let directory = world.directory("client");
    let clients = [
        world.sdk(Mode::Assign, GROUPS[0], &directory),
        world.sdk(Mode::Subscribe, GROUPS[1], &directory),
        DtsClient::Sdk1.start(
            world.login(GROUPS[2]),
            (Mode::Subscribe, LONG_AGO),
            &directory,
            &[],
        ),
    ];
    let last = world.work();
    let table = world.table();
    for client in &clients {
        let offset = wait_for_row(client, &last);
        // Its COMMIT record, too.
        client.wait_for(offset + 1, LIMIT);
        let lines = up_to(client, offset + 1);
        assert_eq!(lines[0]["offset"], 0, "all from the log's start");
        check_order(&lines);
        assert_eq!(replay(&lines), table);
    }
    for group in GROUPS {
        let position = world.wait_committed(group, 1);
        // Of a record that it has read, as the bare number that the next start parses.
        let seconds: i64 = position.metadata.parse().expect("decimal seconds");
        assert!(seconds > 1_600_000_000, "{position:?}");
    }
}

/// The first record that is not older than what the group committed: where every DTS client goes on.
fn resumes_at(records: &[Value], position: &Position) -> i64 {
    let seconds: i64 = position.metadata.parse().expect("decimal seconds");
    let found = records
        .iter()
        .find(|line| line["at"].as_i64() >= Some(seconds));
    found
        .and_then(|line| line["offset"].as_i64())
        .expect("the group committed what it read")
}

#[test]
fn the_sdk_goes_on_from_its_checkpoint_wherever_it_finds_it() {
    let mut world = World::start();
    let store = world.data.path().join("store").display().to_string();
    let with_store: &[(&str, &str)] = &[("DTS_STORE", &store)];
    let directory = |world: &World, name: &str| world.directory(name);
    // Its own file; the broker's metadata, of either mode; the application's store.
    for (group, mode, first, second, more) in [
        (GROUPS[0], Mode::Assign, "a", "a", &[][..]),
        (GROUPS[1], Mode::Assign, "b1", "b2", &[][..]),
        (GROUPS[1], Mode::Subscribe, "c1", "c2", &[][..]),
        (GROUPS[2], Mode::Assign, "d1", "d2", with_store),
    ] {
        let last = world.work();
        let start = |name: &str| {
            let place = directory(&world, name);
            DtsClient::Sdk2.start(world.login(group), (mode, LONG_AGO), &place, more)
        };
        let client = start(first);
        let offset = wait_for_row(&client, &last);
        world.wait_committed(group, offset + 2);
        let records = client.lines();
        client.stop();
        let position = world.position(group).expect("it committed");
        let expected = resumes_at(&records, &position);
        assert!(expected > 0, "a start at the beginning would not be seen");

        let last = world.work();
        let client = DtsClient::Sdk2.start(
            world.login(group),
            (mode, LONG_AGO),
            &directory(&world, second),
            more,
        );
        let offset = wait_for_row(&client, &last);
        let lines = up_to(&client, offset);
        assert_eq!(
            lines[0]["offset"], expected,
            "{group} {mode:?} {position:?}"
        );
        check_order(&up_to(&client, offset + 1));
        client.stop();
    }
}
