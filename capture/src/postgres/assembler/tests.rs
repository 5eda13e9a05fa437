//! The assembler against streams as a server would send them, and a model of the log that takes from it.

mod bounds;
mod changes;
mod definitions;
mod log;
mod random;
mod streams;
mod transactions;
mod values;

use std::collections::HashMap;

use super::*;
use crate::encode::Preset;
use crate::group::Captured;
use crate::postgres::pgoutput::wire::{self, ColumnSpec, Sent};
use crate::postgres::text;
use crate::table::{Column, ReplicaIdentity};
use crate::value::ColumnType;
use log::Log;

const INT4: u32 = 23;
const TEXT: u32 = 25;

/// 2024-01-02 03:04:05.678901 UTC.
const COMMIT_TIME_US: i64 = 757_479_845_678_901;
const COMMIT_TIME_MS: i64 = 1_704_164_645_678;
const NOW_MS: i64 = 1_704_164_646_000;

fn config() -> AssemblerConfig {
    AssemblerConfig {
        system_id: 7,
        timeline: 1,
        database: "shopdb".to_owned(),
        server_version: "15.18 (Debian 15.18-0+deb12u1)".to_owned(),
        feeds: vec![FeedFormat::DebeziumJson {
            preset: Preset::Flink,
            name: "shop".to_owned(),
        }],
        tables: TableFilter::default(),
        columns: ColumnFilter::default(),
        known_keys: Vec::new(),
        limits: CaptureLimits::default(),
    }
}

/// An assembler, the server's catalog, and the log behind.
struct Harness {
    assembler: Assembler,
    catalog: HashMap<u32, CatalogTable>,
    asked: Vec<u32>,
    log: Log,
    now_ms: i64,
}

impl Harness {
    fn new(config: AssemblerConfig) -> Self {
        Self::resuming(config, 0)
    }

    fn resuming(config: AssemblerConfig, resume_end_lsn: u64) -> Self {
        Self {
            assembler: Assembler::new(config, resume_end_lsn),
            catalog: HashMap::new(),
            asked: Vec::new(),
            log: Log::default(),
            now_ms: NOW_MS,
        }
    }

    fn push_at(&mut self, lsn: u64, message: &[u8]) -> Result<Pushed, AssembleError> {
        let pushed = self.assembler.push(lsn, message, self.now_ms)?;
        let Pushed::NeedsCatalog(relations) = pushed else {
            return Ok(pushed);
        };
        for relation in relations {
            self.asked.push(relation);
            let info = self.catalog.get(&relation).cloned();
            self.assembler.set_catalog(relation, info)?;
        }
        self.assembler.push(lsn, message, self.now_ms)
    }

    fn push(&mut self, message: &[u8]) -> Pushed {
        self.push_at(1, message).expect("a good message")
    }

    /// A transaction of these messages, committed at `lsn`, ending 8 bytes later.
    fn transaction(&mut self, lsn: u64, messages: &[Vec<u8>]) {
        self.push(&wire::begin(lsn, COMMIT_TIME_US, 555));
        for message in messages {
            self.push(message);
        }
        let end = self.push(&wire::commit(lsn, lsn + 8, COMMIT_TIME_US));
        assert_eq!(end, Pushed::TransactionEnd);
    }

    /// Everything that is ready goes to the log.
    fn take_all(&mut self) {
        while let Some(captured) = self.assembler.take() {
            self.log.append(captured);
        }
        assert!(!self.assembler.has_ready());
    }
}

/// `orders(id int4, note text)`, key `id`.
const ORDERS: u32 = 16_385;

fn orders(identity: u8) -> Vec<u8> {
    let all = u8::from(identity == b'f');
    let columns: [ColumnSpec<'_>; 2] = [(1, "id", INT4, -1), (all, "note", TEXT, -1)];
    wire::relation(ORDERS, ("public", "orders"), identity, &columns)
}

fn order(id: &str, note: &str) -> Vec<u8> {
    wire::insert(ORDERS, &[Sent::Text(id), Sent::Text(note)])
}

/// The catalog's view of a table; keys are (name, place in the primary key).
fn catalog_table(name: &str, columns: &[(&str, Option<u16>)]) -> CatalogTable {
    let type_oid = |is_key| if is_key { INT4 } else { TEXT };
    let form = |is_key| text::built_in(type_oid(is_key));
    let column = |&(name, key_position): &(&str, Option<u16>)| Column {
        name: name.to_owned(),
        type_oid: type_oid(key_position.is_some()),
        type_name: if key_position.is_some() {
            "integer"
        } else {
            "text"
        }
        .to_owned(),
        type_modifier: -1,
        value_type: ColumnType {
            base_oid: type_oid(key_position.is_some()),
            ..ColumnType::of(form(key_position.is_some()).expect("built in"))
        },
        excluded: false,
        identity: key_position.is_some(),
        key_position,
    };
    CatalogTable {
        schema: "public".to_owned(),
        name: name.to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns.iter().map(column).collect(),
        unique_keys: Vec::new(),
    }
}

fn orders_catalog() -> CatalogTable {
    catalog_table("orders", &[("id", Some(0)), ("note", None)])
}

/// A harness whose catalog knows `orders`, with its relation message received.
fn harness_with_orders(identity: u8) -> Harness {
    let mut harness = Harness::new(config());
    harness.catalog.insert(ORDERS, orders_catalog());
    harness.push(&orders(identity));
    harness
}
