//! pgoutput as a server that lies might send it: no panic, memory within the budget, positions that never go
//! back, and a definition before each batch. The input is a list of messages, each behind its length (u16, big
//! endian); a length of 0 stands for a lost connection.

#![no_main]

use std::collections::HashSet;

use headwater_capture::postgres::assembler::{Assembler, AssemblerConfig, Pushed};
use headwater_capture::postgres::position::Position;
use headwater_capture::{
    CaptureLimits, Captured, ColumnFilter, DebeziumOptions, FeedFormat, Preset, TableFilter,
    TableKey,
};
use libfuzzer_sys::fuzz_target;

const BUDGET: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let mut source = Source::new();
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let size = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (message, behind) = behind.split_at(size);
        rest = behind;
        source.step(message);
    }
    source.take_all();
});

fn feed(preset: Preset) -> FeedFormat {
    FeedFormat::DebeziumJson {
        preset,
        name: "shop".to_owned(),
    }
}

fn debezium() -> Preset {
    Preset::Debezium(DebeziumOptions {
        schemas: true,
        truncates: true,
        transactions: true,
    })
}

struct Source {
    assembler: Assembler,
    told: HashSet<TableKey>,
    end_lsn: u64,
    in_parts: bool,
}

impl Source {
    fn new() -> Self {
        let config = AssemblerConfig {
            system_id: 1,
            timeline: 1,
            database: "shop".to_owned(),
            server_version: "15.18 (Debian 15.18-0+deb12u1)".to_owned(),
            feeds: vec![
                feed(Preset::Flink),
                feed(debezium()),
                FeedFormat::DtsAvro { next_id: 0 },
            ],
            tables: TableFilter::default(),
            columns: ColumnFilter::default(),
            known_keys: Vec::new(),
            limits: CaptureLimits {
                batch_bytes: 4 * 1024,
                gathered_bytes: BUDGET,
                large_transaction_bytes: BUDGET / 2,
                record_bytes_max: BUDGET,
                relations_max: 100,
                ..CaptureLimits::default()
            },
        };
        Self {
            assembler: Assembler::new(config, 0),
            told: HashSet::new(),
            end_lsn: 0,
            in_parts: false,
        }
    }

    fn step(&mut self, message: &[u8]) {
        if message.is_empty() || !self.push(message) {
            self.assembler.connection_lost();
        }
        if self.assembler.must_wait() {
            self.take_all();
        }
        // One message, as a record and as a definition, may come on top of the budget.
        let allowed = 2 * BUDGET + 64 * (1 << 16);
        assert!(self.assembler.gathered_bytes() <= allowed);
    }

    /// Whether the message was taken.
    fn push(&mut self, message: &[u8]) -> bool {
        match self.assembler.push(8, message, 1_704_164_646_000) {
            Ok(Pushed::NeedsCatalog(relations)) => {
                for relation in relations {
                    let set = self.assembler.set_catalog(relation, None);
                    set.expect("the relation is known already");
                }
                let again = self.assembler.push(8, message, 1_704_164_646_000);
                assert!(!matches!(again, Ok(Pushed::NeedsCatalog(_))), "asked once");
                again.is_ok()
            }
            Ok(Pushed::Continue | Pushed::TransactionEnd) => true,
            Err(_) => false,
        }
    }

    fn take_all(&mut self) {
        while let Some(captured) = self.assembler.take() {
            match captured {
                Captured::Tables(tables) => self.told.extend(tables.iter().map(|table| table.key)),
                Captured::Rewind => {
                    assert!(self.in_parts, "there is something to take back");
                    self.in_parts = false;
                }
                Captured::Group(group) => {
                    assert!(
                        group
                            .batches
                            .iter()
                            .all(|batch| batch.table.is_none_or(|table| self.told.contains(&table)))
                    );
                    self.in_parts = group.commit.is_none();
                    if let Some(commit) = group.commit {
                        let position = Position::decode(&commit.position).expect("a position");
                        assert!(position.end_lsn >= self.end_lsn, "positions do not go back");
                        self.end_lsn = position.end_lsn;
                    }
                }
            }
        }
        assert!(
            self.assembler.gathered_bytes() <= BUDGET,
            "what is ready was taken"
        );
    }
}
