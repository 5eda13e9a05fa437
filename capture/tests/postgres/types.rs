//! Every type against the database's own text, on the oldest server here and the newest, with all settings that
//! change how values are written made hostile for database and role.

use serde_json::{Value, json};

use crate::reader::{Change, Reader, config};
use crate::server::{Server, Version, query};

const HOSTILE: &[(&str, &str)] = &[
    ("DateStyle", "'German, DMY'"),
    ("IntervalStyle", "'sql_standard'"),
    ("TimeZone", "'Asia/Kolkata'"),
    ("bytea_output", "'escape'"),
    ("extra_float_digits", "-15"),
    ("lc_monetary", "'C.UTF-8'"),
    ("quote_all_identifiers", "on"),
    ("search_path", "'nowhere'"),
    ("xmloption", "'document'"),
    ("client_encoding", "'LATIN1'"),
    ("statement_timeout", "'1ms'"),
];

/// How the values are wanted, whatever our own connections do.
const WANTED: &str = "SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = UTC; SET bytea_output = hex;
    SET extra_float_digits = 3; SET lc_monetary = 'C'; SET quote_all_identifiers = off; SET xmloption = content;
    SET statement_timeout = 0";

const USER_TYPES: &str = "
    CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
    CREATE SCHEMA other;
    CREATE TYPE mood AS ENUM ('sad', 'very happy', 'a,b');
    CREATE TYPE other.\"Odd \"\"type\"\"\" AS ENUM ('x');
    CREATE TYPE pair AS (a int, b text);
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE DOMAIN moody AS mood;
    CREATE DOMAIN small AS int CHECK (VALUE < 100);
    CREATE DOMAIN smaller AS small;
    CREATE DOMAIN price AS numeric(10, 2);
    CREATE DOMAIN ints AS int[];
    CREATE DOMAIN stamp AS timestamptz;
    CREATE DOMAIN tags AS hstore;";

/// What a value `v` is in JSON, as the database says it. `format` calls the type's output function; a cast to text may be
/// another function.
const TEXT: &str = "to_json(CASE WHEN v IS DISTINCT FROM NULL THEN format('%s', v) END)";
const NATIVE: &str = "to_json(v)";
const BASE64: &str = "to_json(replace(encode(v, 'base64'), E'\\n', ''))";
const INSTANT: &str = r"to_json(CASE WHEN v::text ~ '^\d{4}-.*\+00$' THEN regexp_replace(v::text, '\+00$', 'Z') ELSE v::text END)";
/// Elements as texts.
const TEXTS: &str = "to_json(CASE WHEN v IS NOT NULL THEN format('%s', v)::text[] END)";

/// Type, its JSON, and literals.
const CASES: &[(&str, &str, &[&str])] = &[
    ("bool", NATIVE, &["t", "f"]),
    ("int2", NATIVE, &["-32768", "32767"]),
    ("int4", NATIVE, &["-2147483648", "0"]),
    (
        "int8",
        NATIVE,
        &["-9223372036854775808", "9223372036854775807"],
    ),
    ("oid", "v::text::json", &["0", "4294967295"]),
    (
        "float4",
        "CASE WHEN v::text ~ '^[^a-zN]+$' THEN v::text::json ELSE to_json(v::text) END",
        &["1.1", "-0", "NaN", "Infinity", "-Infinity"],
    ),
    (
        "float8",
        "CASE WHEN v::text ~ '[Nn]' THEN to_json(v::text) ELSE v::text::json END",
        &[
            "0.1",
            "1e300",
            "5e-324",
            "1.7976931348623157e308",
            "NaN",
            "-Infinity",
        ],
    ),
    (
        "numeric",
        TEXT,
        &[
            "1.5000",
            "-0.00",
            "NaN",
            "Infinity",
            "-Infinity",
            "12345678901234567890.123456789",
            "1e100",
        ],
    ),
    ("numeric(9,2)", TEXT, &["1.5", "-9999999.99", "NaN"]),
    ("money", TEXT, &["-1234.56", "92233720368547758.07"]),
    ("text", TEXT, &["", "a \"q\" \\ é 漢 😀", "NULL"]),
    ("varchar(5)", TEXT, &["ab   "]),
    ("char(5)", TEXT, &["ab", ""]),
    ("\"char\"", TEXT, &["x", ""]),
    ("name", TEXT, &["nm"]),
    ("citext", TEXT, &["CiText"]),
    ("bytea", BASE64, &["\\xdeadbeef00", "\\x"]),
    ("uuid", TEXT, &["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
    ("json", TEXT, &["{\"a\": 1, \"a\":2 }", "null", " [1,  2] "]),
    (
        "jsonb",
        TEXT,
        &["{\"b\": [1, 2.50], \"a\": \"é\"}", "\"s\""],
    ),
    ("xml", TEXT, &["<a>1</a>", "text only"]),
    (
        "date",
        TEXT,
        &[
            "2024-02-29",
            "infinity",
            "-infinity",
            "0044-03-15 BC",
            "12345-06-07",
            "4713-01-01 BC",
        ],
    ),
    ("time", TEXT, &["12:34:56.789012", "24:00", "00:00"]),
    ("time(0)", TEXT, &["12:34:56.789"]),
    ("timetz", TEXT, &["12:34:56.789012+05:30", "00:00-15:59:59"]),
    (
        "timestamp",
        TEXT,
        &[
            "2024-01-02 03:04:05.678901",
            "infinity",
            "0044-03-15 12:00 BC",
            "294276-12-31 23:59:59.999999",
        ],
    ),
    (
        "timestamptz",
        INSTANT,
        &[
            "2024-01-02 03:04:05.678901+02",
            "-infinity",
            "0044-03-15 12:00+00 BC",
            "12345-06-07 01:02:03.5+00",
        ],
    ),
    ("timestamptz(0)", INSTANT, &["2024-01-02 03:04:05.6+05:30"]),
    (
        "interval",
        TEXT,
        &[
            "1 year 2 mons -3 days 04:05:06.789",
            "-1 mon",
            "0",
            "178000000 years",
        ],
    ),
    ("bit(3)", TEXT, &["101"]),
    ("varbit", TEXT, &["", "10101"]),
    ("point", TEXT, &["(1.5,-2)", "(NaN,Infinity)"]),
    ("line", TEXT, &["{1,2,3}"]),
    ("lseg", TEXT, &["[(0,0),(0.1,1)]"]),
    ("box", TEXT, &["(0,0),(1,1)"]),
    ("path", TEXT, &["[(0,0),(1,1)]", "((0,0),(1,1))"]),
    ("polygon", TEXT, &["((0,0),(1,1),(2,0))"]),
    ("circle", TEXT, &["<(0,0),2.5>"]),
    ("inet", TEXT, &["10.0.0.1/24", "::1", "10.0.0.1"]),
    ("cidr", TEXT, &["2001:db8::/32"]),
    ("macaddr", TEXT, &["08:00:2b:01:02:03"]),
    ("macaddr8", TEXT, &["08:00:2b:01:02:03:04:05"]),
    ("pg_lsn", TEXT, &["16/B374D848"]),
    ("xid8", TEXT, &["18446744073709551615"]),
    ("regclass", TEXT, &["pg_class", "0"]),
    ("regtype", TEXT, &["int4"]),
    ("pg_snapshot", TEXT, &["10:20:10,14"]),
    ("tid", TEXT, &["(1,2)"]),
    ("jsonpath", TEXT, &["$.a[*]"]),
    ("tsvector", TEXT, &["the fat:3 'cat''s'"]),
    ("tsquery", TEXT, &["a & !b"]),
    ("int2vector", TEXT, &["1 2"]),
    ("oidvector", TEXT, &["1 2"]),
    ("int4range", TEXT, &["[1,5)", "empty", "(,)"]),
    ("numrange", TEXT, &["(1.5,]"]),
    ("tstzrange", TEXT, &["[2024-01-01 00:00+02,infinity)"]),
    ("daterange", TEXT, &["[2024-01-01,2024-02-01]"]),
    ("int4multirange", TEXT, &["{[1,3),[5,7)}", "{}"]),
    ("datemultirange", TEXT, &["{[2024-01-01,2024-01-03)}"]),
    ("span", TEXT, &["[0.1,1e300]"]),
    ("ltree", TEXT, &["Top.Sub"]),
    (
        "hstore",
        "hstore_to_json(v)",
        &["a=>1, \"b c\"=>NULL, q=>\"\\\"x\\\\\"", ""],
    ),
    ("tags", "hstore_to_json(v)", &["a=>1"]),
    ("mood", TEXT, &["sad", "very happy", "a,b"]),
    ("moody", TEXT, &["very happy"]),
    ("other.\"Odd \"\"type\"\"\"", TEXT, &["x"]),
    ("pair", TEXT, &["(1,\"a \"\"q\"\" b\")", "(,)"]),
    ("small", NATIVE, &["7"]),
    ("smaller", NATIVE, &["8"]),
    ("price", TEXT, &["1.5"]),
    ("ints", NATIVE, &["{1,2}"]),
    ("stamp", INSTANT, &["2024-01-02 03:04:05+02"]),
    ("bool[]", NATIVE, &["{t,f,NULL}"]),
    (
        "int4[]",
        NATIVE,
        &["{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "{{{1}},{{2}}}"],
    ),
    ("int8[]", NATIVE, &["{9223372036854775807}"]),
    ("float8[]", "to_json(v)", &["{0.1,1e100}"]),
    ("numeric[]", TEXTS, &["{1.50,NaN,NULL}"]),
    (
        "text[]",
        NATIVE,
        &["{a,\"NULL\",NULL,\"with \\\"q\\\", \\\\ and {}\",\"\",\" \"}"],
    ),
    ("varchar(3)[]", NATIVE, &["{x,\"y z\"}"]),
    ("date[]", TEXTS, &["{2024-02-29,infinity}"]),
    (
        "timestamp[]",
        TEXTS,
        &["{\"2024-01-02 03:04:05.6\",\"0044-03-15 12:00:00 BC\"}"],
    ),
    (
        "timestamptz[]",
        "(SELECT to_json(array_agg(replace(e, '+00', 'Z'))) FROM unnest(v::text[]) e)",
        &["{\"2024-01-02 03:04:05.6+02\"}"],
    ),
    ("interval[]", TEXTS, &["{\"1 day\",\"2 mons -00:00:01\"}"]),
    (
        "bytea[]",
        "(SELECT to_json(array_agg(encode(e, 'base64'))) FROM unnest(v) e)",
        &["{\"\\\\xdead\",\"\\\\x\"}"],
    ),
    (
        "uuid[]",
        NATIVE,
        &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
    ),
    ("jsonb[]", TEXTS, &["{\"{\\\"a\\\": 1}\",NULL}"]),
    ("inet[]", TEXTS, &["{10.0.0.1/24,::1}"]),
    (
        "box[]",
        "(SELECT to_json(array_agg(format('%s', e))) FROM unnest(v) e)",
        &["{(1,1),(0,0);(2,2),(1,1)}"],
    ),
    ("point[]", TEXTS, &["{\"(1,2)\"}"]),
    ("bit(3)[]", TEXTS, &["{101,010}"]),
    ("money[]", TEXTS, &["{\"$1,234.50\"}"]),
    ("int4range[]", TEXTS, &["{\"[1,3)\",empty}"]),
    ("mood[]", NATIVE, &["{sad,\"very happy\",\"a,b\",NULL}"]),
    ("moody[]", TEXTS, &["{sad}"]),
    ("small[]", NATIVE, &["{7,8}"]),
    ("price[]", TEXTS, &["{1.5,2}"]),
    ("pair[]", TEXTS, &["{\"(1,\\\"b c\\\")\",\"(,)\"}"]),
    (
        "hstore[]",
        "(SELECT to_json(array_agg(hstore_to_json(e))) FROM unnest(v) e)",
        &["{\"a=>1\",\"b=>NULL\"}"],
    ),
    ("citext[]", NATIVE, &["{Ci}"]),
    ("oidvector[]", TEXTS, &["{\"1 2\"}"]),
    // Subscripts from elsewhere than 1 have no form in JSON.
    ("int4[]", TEXT, &["[0:1]={5,6}"]),
];

/// What came with a later version than 10: a type, or a literal of one that was there.
const SINCE: &[(&str, u32)] = &[
    ("moody[]", 11),
    ("small[]", 11),
    ("price[]", 11),
    ("jsonpath", 12),
    ("xid8", 13),
    ("pg_snapshot", 13),
    ("int4multirange", 14),
    ("datemultirange", 14),
];
const NUMERIC_INFINITY_SINCE: u32 = 14;
/// First version that sends rows in binary form.
const BINARY_SINCE: u32 = 14;

/// Table, type, its JSON, and literals, as far as a version has them.
fn cases(major: u32) -> Vec<(String, &'static str, &'static str, Vec<&'static str>)> {
    let is_there = |name: &str| {
        SINCE
            .iter()
            .all(|(later, since)| *later != name || major >= *since)
    };
    let has = |name: &str, literal: &str| {
        name != "numeric" || !literal.ends_with("Infinity") || major >= NUMERIC_INFINITY_SINCE
    };
    let cases = CASES.iter().enumerate();
    let there = cases.filter(|(_, (name, _, _))| is_there(name));
    there
        .map(|(index, (name, json, literals))| {
            let literals = literals.iter().copied();
            let literals = literals.filter(|literal| has(name, literal)).collect();
            (format!("t{index}"), *name, *json, literals)
        })
        .collect()
}

#[tokio::test]
async fn every_type_is_what_the_database_says_under_hostile_settings() {
    matrix(Version::Usual).await;
}

#[tokio::test]
async fn every_type_is_what_the_newest_database_says_under_hostile_settings() {
    matrix(Version::V18).await;
}

async fn matrix(version: Version) {
    let server = Server::start_as(version).await;
    server.sql(USER_TYPES).await;
    let cases = cases(server.major());
    let mut rows = 0;
    for (table, name, _, literals) in &cases {
        let table = format!("CREATE TABLE {table} (id int PRIMARY KEY, v {name})");
        server.sql(&table).await;
        rows += literals.len() + 1;
    }
    for (setting, value) in HOSTILE {
        server
            .sql(&format!("ALTER DATABASE shop SET {setting} = {value}"))
            .await;
        server
            .sql(&format!("ALTER ROLE postgres SET {setting} = {value}"))
            .await;
    }
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    let mut session = server.session().await;
    query(&mut session, WANTED).await;
    for (table, name, _, literals) in &cases {
        let insert = format!("INSERT INTO {table} VALUES (0, NULL)");
        query(&mut session, &insert).await;
        for (id, literal) in literals.iter().enumerate() {
            let literal = literal.replace('\'', "''");
            let insert = format!(
                "INSERT INTO {table} VALUES ({}, ('{literal}')::{name})",
                id + 1
            );
            query(&mut session, &insert).await;
        }
    }
    reader
        .until("all rows", |reader| reader.changes.len() == rows)
        .await;
    if server.major() >= BINARY_SINCE {
        in_binary_form_every_type_is_the_same(&server, &mut session, &reader.changes).await;
    }
    for (table, name, expected, _) in &cases {
        let sql =
            format!("SELECT id, coalesce(({expected})::text, 'null') FROM {table} ORDER BY id");
        for row in session
            .query(&sql, std::time::Duration::from_secs(30))
            .await
            .unwrap()
        {
            let (id, text) = (row[0].as_deref().unwrap(), row[1].as_deref().unwrap());
            let expected: Value = serde_json::from_str(text).unwrap();
            let found = reader
                .changes
                .iter()
                .find(|change| change.table == *table && change.id().to_string() == id);
            let found = &found.unwrap().after["v"];
            assert_eq!(*found, expected, "{name} row {id} of {version:?}");
        }
    }
}

/// Types whose binary form has no rendering, arrays and domains of them included.
const REFUSED: &[&str] = &["pair", "span", "tsquery", "reg"];

/// A second source reads the same rows again, asked for in binary form.
async fn in_binary_form_every_type_is_the_same(
    server: &Server,
    session: &mut headwater_capture::postgres::connection::Connection,
    as_text: &[Change],
) {
    let is_refused = |name: &str| REFUSED.iter().any(|refused| name.starts_with(refused));
    let cases = CASES.iter().enumerate();
    let refused: Vec<String> = cases
        .filter(|(_, (name, _, _))| is_refused(name))
        .map(|(index, _)| format!("public.t{index}"))
        .collect();
    let exclude: Vec<&str> = refused.iter().map(String::as_str).collect();
    let expected: Vec<&Change> = as_text
        .iter()
        .filter(|change| !refused.contains(&format!("public.{}", change.table)))
        .collect();
    let mut config = config(server.url("postgres"));
    config.slot = "headwater_binary".into();
    config.publication = "headwater_binary".into();
    config.always_binary = true;
    config.tables = headwater_capture::TableFilter::parse(&["public.t*"], &exclude).unwrap();
    let mut reader = Reader::running(config).await;
    for (index, (name, _, _)) in CASES.iter().enumerate() {
        if !is_refused(name) {
            let again = format!("UPDATE t{index} SET id = id");
            query(session, &again).await;
        }
    }
    reader
        .until("all rows", |reader| reader.changes.len() == expected.len())
        .await;
    for (change, expected) in reader.changes.iter().zip(expected) {
        assert_eq!(change.table, expected.table);
        let index: usize = change.table[1..].parse().unwrap();
        assert_eq!(change.after, expected.after, "{}", CASES[index].0);
    }
    reader.stop().await;
}

#[tokio::test]
async fn a_type_that_is_gone_by_the_time_its_rows_are_read_keeps_its_form() {
    let server = Server::start(&[]).await;
    server
        .sql(
            "CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN days AS date[];
              CREATE TABLE t (id int PRIMARY KEY, m mood[], d days, e mood)",
        )
        .await;
    let config = config(server.url("postgres"));
    let mut reader = Reader::running(config.clone()).await;
    reader
        .until("a position", |reader| reader.position.is_some())
        .await;
    let (_, position) = reader.stop().await;
    server
        .sql("INSERT INTO t VALUES (1, '{sad,NULL}', '{2024-02-29}', 'sad')")
        .await;
    server
        .sql("ALTER TABLE t DROP m, DROP d, DROP e; DROP TYPE mood, days")
        .await;
    let mut reader = Reader::resume(config, position);
    reader
        .until("the row", |reader| reader.changes.len() == 1)
        .await;
    let expected = json!({"id": 1, "m": ["sad", null], "d": ["2024-02-29"], "e": "sad"});
    assert_eq!(reader.changes[0].after, expected);
}

#[tokio::test]
async fn tables_of_any_width_and_name_are_captured_without_generated_columns() {
    let server = Server::start(&[]).await;
    let wide: Vec<String> = (1..1_600).map(|at| format!("c{at} int")).collect();
    server
        .sql(&format!(
            "CREATE TABLE wide (id int PRIMARY KEY, {})",
            wide.join(", ")
        ))
        .await;
    server
        .sql(
            "CREATE TABLE none ();
             CREATE SCHEMA \"Odd.schema\";
             CREATE TABLE \"Odd.schema\".\"Größe \"\"x\"\"\" (\"Id\" int PRIMARY KEY, \"a.b\" text, \"表\" int);
             CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, dropped int, b int DEFAULT 5);
             ALTER TABLE made DROP dropped",
        )
        .await;
    if server.major() >= 12 {
        let twice = "ALTER TABLE made ADD twice int GENERATED ALWAYS AS (a * 2) STORED";
        server.sql(twice).await;
    }
    let mut reader = Reader::running(config(server.url("postgres"))).await;
    let values: Vec<String> = (1..1_600).map(|at| at.to_string()).collect();
    server
        .sql(&format!(
            "INSERT INTO wide VALUES (1, {})",
            values.join(", ")
        ))
        .await;
    server.sql("INSERT INTO none DEFAULT VALUES").await;
    server
        .sql("INSERT INTO \"Odd.schema\".\"Größe \"\"x\"\"\" VALUES (1, 'x', 2)")
        .await;
    server.sql("INSERT INTO made (a) VALUES (21)").await;
    server.sql("UPDATE made SET a = 22").await;
    reader
        .until("all rows", |reader| reader.changes.len() == 5)
        .await;
    let after: Vec<&Value> = reader.changes.iter().map(|change| &change.after).collect();
    let wide = after[0].as_object().unwrap();
    assert_eq!(wide.len(), 1_600);
    assert_eq!(wide["c1599"], 1_599);
    assert_eq!(*after[1], json!({}));
    assert_eq!(*after[2], json!({"Id": 1, "a.b": "x", "表": 2}));
    assert_eq!(*after[3], json!({"id": 1, "a": 21, "b": 5}));
    assert_eq!(*after[4], json!({"id": 1, "a": 22, "b": 5}));
}

#[tokio::test]
async fn excluded_columns_never_leave_the_source() {
    let server = Server::start(&[]).await;
    server
        .sql(
            "CREATE TABLE users (id int PRIMARY KEY, name text, password text, ssn text);
             ALTER TABLE users REPLICA IDENTITY FULL",
        )
        .await;
    let mut config = config(server.url("postgres"));
    config.columns =
        headwater_capture::ColumnFilter::parse(&["public.users.pass*", "*.*.ssn", "*.*.id"])
            .unwrap();
    let mut reader = Reader::start(config);
    reader.raw = Some(Vec::new());
    reader
        .until("running", |reader| {
            reader.status().state.name() == "running"
        })
        .await;
    server
        .sql("INSERT INTO users VALUES (1, 'Anne', 'hunter2', '078-05')")
        .await;
    server
        .sql("UPDATE users SET password = 'hunter3', ssn = '078-06'")
        .await;
    server.sql("DELETE FROM users").await;
    reader
        .until("all changes", |reader| reader.changes.len() == 3)
        .await;
    assert_eq!(reader.changes[1].before, json!({"id": 1, "name": "Anne"}));
    assert_eq!(reader.changes[1].after, json!({"id": 1, "name": "Anne"}));
    for record in reader.raw.unwrap() {
        let value = record.value.unwrap();
        assert!(
            !value.contains("hunter") && !value.contains("078"),
            "{value}"
        );
        assert_eq!(record.key.as_deref(), Some("{\"id\":1}"));
    }
}
