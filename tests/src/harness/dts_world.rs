//! A broker with logins and a feed for clients of Alibaba Cloud DTS, a PostgreSQL behind it, and work in its table.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Configured, Coordinator, DtsClient, DtsLogin, Headwater, Member, Mode, Options, Position,
    Postgres, Version, clock, port,
};

/// The feed's topic.
pub const TOPIC: &str = "shop";
/// Of every group.
pub const ACCOUNT: &str = "dtstest";
/// Likewise.
pub const PASSWORD: &str = "Checkpoint-24";

/// Groups of the instance.
pub const GROUPS: [&str; 3] = ["dtsae1", "dtsae2", "dtsae3"];

/// A checkpoint before everything.
pub const LONG_AGO: &str = "1000000000";

/// A JVM that starts, logs in, looks up and reads has this much, on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(90);

const TABLE: &str = "CREATE TABLE kinds (id bigint PRIMARY KEY, small smallint, price numeric(12,2), ratio float8, \
    name varchar(40), body text, flag bool, day date, at time, stamp timestamp, moment timestamptz, \
    raw bytea, doc json, binary_doc jsonb, uid uuid, tags text[], odd numeric, CONSTRAINT by_uid UNIQUE (uid, name)); CREATE UNIQUE INDEX partial ON kinds (uid) WHERE flag; \
    ALTER TABLE kinds REPLICA IDENTITY FULL;";

/// Tables of other kinds, in which [`DtsWorld::work`] does nothing.
const OTHER_TABLES: &str = "CREATE TABLE plain (a int, ratio float8); ALTER TABLE plain REPLICA IDENTITY FULL; \
    CREATE SCHEMA \"odd.name\"; CREATE TABLE \"odd.name\".\"t.x\" (\"c.d\" int PRIMARY KEY, note text); \
    ALTER TABLE \"odd.name\".\"t.x\" REPLICA IDENTITY FULL;";

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

/// A table by key: each row by column.
pub type Table = BTreeMap<String, BTreeMap<String, String>>;

/// What runs.
#[derive(Debug)]
pub struct DtsWorld {
    /// The source.
    pub postgres: Postgres,
    /// The broker.
    pub headwater: Headwater,
    /// Its listener `SASL_PLAINTEXT`.
    pub login_address: String,
    /// For files of clients.
    pub data: TempDir,
    rows: u32,
}

impl DtsWorld {
    /// Starts the two, and waits until capture runs.
    #[must_use]
    pub fn start() -> Self {
        let postgres = Postgres::start(Version::V15);
        postgres.execute(TABLE);
        postgres.execute(OTHER_TABLES);
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
    #[must_use]
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.data.path().join(name);
        fs::create_dir_all(&path).expect("it is ours");
        path
    }

    /// How a client of `group` connects.
    #[must_use]
    pub fn login<'a>(&'a self, group: &'a str) -> DtsLogin<'a> {
        DtsLogin {
            bootstrap: &self.login_address,
            account: ACCOUNT,
            password: PASSWORD,
            group,
            topic: TOPIC,
        }
    }

    /// The SDK 2.0.0, from long ago unless it knows a checkpoint.
    #[must_use]
    pub fn sdk(&self, mode: Mode, group: &str, directory: &Path) -> Member {
        DtsClient::Sdk2.start(self.login(group), (mode, LONG_AGO), directory, &[])
    }

    /// Inserts, updates and deletes in transactions of several sizes. The id of the last insert, which stays.
    pub fn work(&mut self) -> String {
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
    #[must_use]
    pub fn table(&self) -> Table {
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

    /// Where the group stands.
    #[must_use]
    pub fn position(&self, group: &str) -> Option<Position> {
        let coordinator = Coordinator {
            bootstrap: &self.headwater.bootstrap(),
            group,
        };
        coordinator.position(TOPIC).expect("the broker answers")
    }

    /// Sets where the group stands; nobody may be a member.
    pub fn commit(&self, group: &str, position: &Position) {
        let coordinator = Coordinator {
            bootstrap: &self.headwater.bootstrap(),
            group,
        };
        let committed = coordinator.commit(TOPIC, position);
        committed.unwrap_or_else(|error| panic!("{group}: {error}"));
    }

    /// Waits until the group has so many members.
    pub fn wait_members(&self, group: &str, count: usize) {
        let coordinator = Coordinator {
            bootstrap: &self.headwater.bootstrap(),
            group,
        };
        coordinator.wait_members(count, LIMIT);
    }

    /// Waits until the group has committed a record at or behind `offset`.
    pub fn wait_committed(&self, group: &str, offset: i64) -> Position {
        let position = clock::poll(LIMIT, || {
            self.position(group)
                .filter(|position| position.offset >= offset)
        });
        position.unwrap_or_else(|| panic!("{group} stands at {:?}", self.position(group)))
    }
}

/// Whether a client's line is a change whose new row has this id, as the SDK shows it or inside the text of all images.
fn is_row(line: &Value, id: &str) -> bool {
    let image = &line["after"];
    match image.as_str() {
        Some(text) => text.contains(&format!("\"{id}\"")) || text.contains(&format!("value:{id}]")),
        None => image["id"] == id,
    }
}

/// Waits until the client has shown a row change of this id; its offset.
pub fn wait_for_row(client: &Member, id: &str) -> i64 {
    let found = clock::poll(LIMIT, || {
        let lines = client.lines();
        let line = lines.iter().rev().find(|line| is_row(line, id))?;
        line["offset"].as_i64()
    });
    found.unwrap_or_else(|| panic!("no row {id} after {LIMIT:?}:\n{}", client.said()))
}

/// Java's text of a number or time and PostgreSQL's, made the same.
#[must_use]
pub fn shown(value: &str) -> String {
    if let (Ok(number), true) = (value.parse::<f64>(), value.contains(['.', 'E', 'e'])) {
        return number.to_string();
    }
    value.strip_suffix(".0").unwrap_or(value).to_owned()
}
