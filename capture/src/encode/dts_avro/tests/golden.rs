//! Bytes that were made with another Avro encoder, and the rules that clients end at when they are broken.

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The vectors have other tags than our records always carry, so they are put together from the parts.
fn record(operation: RecordOperation, object: &[u8], tags: Option<&[u8]>, body: &[u8]) -> Vec<u8> {
    let source = envelope::source(Family::MySql, "8.0.28");
    let envelope = Envelope {
        id: 1_700_382,
        source: &source,
        origin: &ORIGIN,
        operation,
        object,
        tags: Tags::default(),
    };
    let mut bytes = Vec::new();
    let mut out = AvroWriter::new(&mut bytes, usize::MAX);
    envelope.put_head_before_tags(&mut out);
    match tags {
        Some(entries) => {
            out.long(1);
            out.raw(entries);
            out.raw(&[0]);
        }
        None => out.raw(&[0]),
    }
    out.raw(body);
    envelope.put_tail(&mut out);
    bytes
}

const ENVELOPE: &str =
    "00bcc8cf01b0b5afd20c1037323436394037381037323334374037380230000c382e302e3238";

#[test]
fn an_insert_has_these_bytes() {
    let columns = vec![
        mysql::column("a", mysql::ColumnType::BigInt, true),
        mysql::column("b", mysql::ColumnType::VarChar("utf8mb4"), false),
    ];
    let row = [Value::Number(b"123456789"), Value::Text(b"hi")];
    let whole = encode(&mut mysql_encoder(columns), &insert(&row), &ORIGIN);
    // What stands between the tags and the end is byte for byte that of the vector.
    let body = "040402611002\
        62fa0300000404021012313233343536373839040e757466386d62340468690080ffb8c2e362";
    assert!(hex(&whole).starts_with(ENVELOPE), "{}", hex(&whole));
    assert!(hex(&whole).ends_with(body), "{}", hex(&whole));

    let mut tag = Vec::new();
    let mut out = AvroWriter::new(&mut tag, usize::MAX);
    out.bytes(b"pk_uk_info");
    out.bytes(&shape::key_info(&[(
        "PRIMARY".to_owned(),
        vec!["a".to_owned()],
    )]));
    let body_bytes = &whole[whole.len() - body.len() / 2..whole.len() - 6];
    let object = shape::object_name(Some("mydb.t1"));
    let vector = record(RecordOperation::Insert, &object, Some(&tag), body_bytes);
    assert_eq!(
        hex(&vector),
        format!(
            "{ENVELOPE}00020e6d7964622e7431000214706b5f756b5f696e666f227b225052494d415259223a5b2261225d7d00{body}"
        )
    );
    assert_eq!(vector.len(), 124);
}

#[test]
fn a_heartbeat_has_these_bytes() {
    let mut body = Vec::new();
    Body::Nothing.put(&mut AvroWriter::new(&mut body, usize::MAX));
    let bytes = record(RecordOperation::Heartbeat, &[0], None, &body);
    assert_eq!(hex(&bytes), format!("{ENVELOPE}1000000000000080ffb8c2e362"));
    assert_eq!(bytes.len(), 51);
}

#[test]
fn a_statement_has_these_bytes() {
    let mut body = Vec::new();
    let statement = Body::Statement("create table t1(a int)");
    statement.put(&mut AvroWriter::new(&mut body, usize::MAX));
    let object = shape::object_name(Some("mydb"));
    let bytes = record(RecordOperation::Ddl, &object, None, &body);
    assert_eq!(
        hex(&bytes),
        format!(
            "{ENVELOPE}0602086d79646200000000022c637265617465207461626c65207431286120696e742980ffb8c2e362"
        )
    );
    assert_eq!(bytes.len(), 79);
}

#[test]
fn every_record_has_a_time_of_reading_and_is_never_filler() {
    let mut encoder = DtsAvro::new(Family::PostgreSql, "", 0, usize::MAX);
    let origin = Origin {
        commit_time_ms: 0,
        read_time_ms: 1_700_000_000_000,
        position: Position::Lsn(0),
        safe_position: Position::Lsn(0),
        ..ORIGIN
    };
    let ddl = Control::Ddl {
        database: "",
        statement: "",
    };
    let controls = [Control::Begin, Control::Commit, Control::Heartbeat, ddl];
    let names = ["BEGIN", "COMMIT", "HEARTBEAT", "DDL"];
    for (id, (control, name)) in (0..).zip(controls.into_iter().zip(names)) {
        let mut bytes = Vec::new();
        encoder.control(&mut bytes, control, &origin);
        let read = Decoded::of(&bytes);
        assert_eq!(read.text("operation"), name);
        assert_eq!(read.long("id"), id, "ids count the records");
        assert_eq!(read.tag("readerThroughoutTime"), Some("1700000000000"));
        assert_eq!(read.field("fields"), &Avro::Null);
        assert_eq!(read.field("beforeImages"), &Avro::Null);
    }
}

/// Another one than [`ORIGIN`] in everything.
const OTHER: Origin<'_> = Origin {
    commit_time_ms: 1_700_000_001_999,
    read_time_ms: 1_700_000_002_000,
    position: Position::Lsn(0x1_0000_000A),
    safe_position: Position::Lsn(0xF_FFFF_FFFF),
    transaction: 4_294_967_295,
    ..ORIGIN
};

/// Each part of the origin counts, also right behind a record with another one.
#[test]
fn a_record_says_where_it_comes_from_whatever_came_before_it() {
    let origins = [
        ORIGIN,
        Origin {
            commit_time_ms: OTHER.commit_time_ms,
            ..ORIGIN
        },
        Origin {
            read_time_ms: OTHER.read_time_ms,
            ..ORIGIN
        },
        Origin {
            position: OTHER.position,
            ..ORIGIN
        },
        Origin {
            safe_position: OTHER.safe_position,
            ..ORIGIN
        },
        Origin {
            transaction: OTHER.transaction,
            ..ORIGIN
        },
        OTHER,
    ];
    let alone = |origin: &Origin<'_>, version| {
        let mut bytes = Vec::new();
        DtsAvro::new(Family::MySql, version, 0, 0).control(&mut bytes, Control::Begin, origin);
        hex(&bytes)
    };
    for first in &origins {
        for second in &origins {
            let mut encoder = DtsAvro::new(Family::MySql, "8.0", 0, 0);
            encoder.begin();
            encoder.control(&mut Vec::new(), Control::Begin, first);
            encoder.abandon();
            let mut bytes = Vec::new();
            encoder.control(&mut bytes, Control::Begin, second);
            assert_eq!(
                hex(&bytes),
                alone(second, "8.0"),
                "{second:?} after {first:?}"
            );
            encoder.abandon();
            encoder.set_version(Family::MySql, "8.4");
            bytes.clear();
            encoder.control(&mut bytes, Control::Begin, second);
            assert_eq!(hex(&bytes), alone(second, "8.4"));
        }
    }
}

#[test]
fn every_part_of_an_origin_stands_in_its_field() {
    let read = |origin| {
        let mut bytes = Vec::new();
        DtsAvro::new(Family::PostgreSql, "15.18", 0, 0).control(
            &mut bytes,
            Control::Commit,
            &origin,
        );
        Decoded::of(&bytes)
    };
    let read = read(OTHER);
    assert_eq!(read.long("sourceTimestamp"), 1_700_000_001);
    assert_eq!(read.long("bornTimestamp"), 1_700_000_001_999);
    assert_eq!(read.text("sourcePosition"), "1/A");
    assert_eq!(read.text("safeSourcePosition"), "F/FFFFFFFF");
    assert_eq!(read.text("sourceTxid"), "4294967295");
    assert_eq!(read.tag("readerThroughoutTime"), Some("1700000002000"));
}

#[test]
fn ids_of_a_transaction_that_is_forgotten_are_given_again() {
    let mut encoder = DtsAvro::new(Family::MySql, "8.0", 7, usize::MAX);
    let id = |encoder: &mut DtsAvro| {
        let mut bytes = Vec::new();
        encoder.control(&mut bytes, Control::Heartbeat, &ORIGIN);
        Decoded::of(&bytes).long("id")
    };
    assert_eq!(id(&mut encoder), 7);
    encoder.begin();
    assert_eq!((id(&mut encoder), id(&mut encoder)), (8, 9));
    encoder.abandon();
    assert_eq!(id(&mut encoder), 8);
}

#[test]
fn names_have_their_dots_written_out_and_tags_tell_table_and_session() {
    let mut encoder = DtsAvro::new(Family::MySql, "8.0.34", 0, usize::MAX);
    let shape = TableShape {
        name: vec!["my.db".to_owned(), "s".to_owned(), "t.1".to_owned()],
        columns: vec![mysql::column("a\"b", mysql::ColumnType::Int, true)],
        keys: vec![
            ("PRIMARY".to_owned(), vec!["a\"b".to_owned()]),
            ("uk".to_owned(), vec!["a\"b".to_owned(), "c".to_owned()]),
        ],
        logical: Some(("shop".to_owned(), "orders".to_owned())),
    };
    encoder.prepare(TABLE, &shape);
    let origin = Origin {
        thread_id: Some(12),
        server_id: Some(7),
        gtid: Some("3E11FA47:23"),
        ..ORIGIN
    };
    let read = Decoded::of(&encode(&mut encoder, &insert(&[Value::Null]), &origin));
    assert_eq!(read.text("objectName"), "my\\u002Edb.s.t\\u002E1");
    let keys = read.tag("pk_uk_info").unwrap();
    let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
    assert_eq!(
        keys,
        serde_json::json!({"PRIMARY": ["a\"b"], "uk": ["a\"b", "c"]})
    );
    for (tag, value) in [
        ("thread_id", Some("12")),
        ("server_id", Some("7")),
        ("l_db_name", Some("shop")),
        ("l_tb_name", Some("orders")),
        ("GTID", None),
    ] {
        assert_eq!(read.tag(tag), value, "{tag}");
    }
    let mut begin = Vec::new();
    encoder.control(&mut begin, Control::Begin, &origin);
    assert_eq!(Decoded::of(&begin).tag("GTID"), Some("3E11FA47:23"));
}

#[test]
fn the_version_of_a_definition_changes_with_it_and_only_with_it() {
    let version = |columns: Vec<ColumnShape>| {
        let row = vec![Value::Null; columns.len()];
        let bytes = encode(&mut mysql_encoder(columns), &insert(&row), &ORIGIN);
        let version = Decoded::of(&bytes).tag("metaVersion").map(str::to_owned);
        version.unwrap().parse::<i32>().unwrap()
    };
    let int = |name| mysql::column(name, mysql::ColumnType::Int, false);
    let plain = version(vec![int("a")]);
    assert!(plain > 0);
    assert_eq!(plain, version(vec![int("a")]));
    assert_ne!(plain, version(vec![int("a"), int("b")]));
    assert_ne!(plain, version(vec![int("b")]));
    let wider = mysql::column("a", mysql::ColumnType::BigInt, false);
    assert_ne!(plain, version(vec![wider]));
}

#[test]
fn labels_and_versions_are_those_that_clients_know() {
    for (family, version, label, told) in [
        (Family::MySql, "5.6.47-log", "MySQL", "5.6.47-log"),
        (Family::PostgreSql, "15.18 é", "PostgreSQL", "15.18"),
    ] {
        let mut encoder = DtsAvro::new(family, version, 0, usize::MAX);
        let mut bytes = Vec::new();
        encoder.control(&mut bytes, Control::Heartbeat, &ORIGIN);
        let read = Decoded::of(&bytes);
        let Avro::Record(source) = read.field("source") else {
            panic!("source is a record");
        };
        let Avro::Enum(_, symbol) = &source[0].1 else {
            panic!("sourceType is an enum");
        };
        assert_eq!(symbol, label);
        assert_eq!(source[1].1, Avro::String(told.to_owned()));
    }
}

#[test]
fn positions_are_written_as_the_source_family_writes_them() {
    for (position, text) in [
        (Position::Lsn(0x16_B374_D848), "16/B374D848"),
        (Position::Lsn(0), "0/0"),
        (Position::Lsn(u64::MAX), "FFFFFFFF/FFFFFFFF"),
        (
            Position::Binlog {
                offset: 4,
                file: 1_000_000,
            },
            "4@1000000",
        ),
    ] {
        let origin = Origin { position, ..ORIGIN };
        let mut bytes = Vec::new();
        DtsAvro::new(Family::MySql, "8", 0, 0).control(&mut bytes, Control::Begin, &origin);
        assert_eq!(Decoded::of(&bytes).text("sourcePosition"), text);
    }
}
