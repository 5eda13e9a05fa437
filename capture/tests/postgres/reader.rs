//! Reads a source as the log does: asks, keeps what is committed, confirms, rewinds.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_capture::postgres::{Confirmer, Source, SourceConfig, SourceStatus, SourceUrl};
use headwater_capture::{
    CaptureLimits, Captured, ColumnFilter, FeedFormat, Preset, TableFilter, TableKey,
    TransactionGroup,
};
use headwater_protocol::batch::{RecordView, records};
use serde_json::Value;

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// A row change as the feed shows it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) table: String,
    pub(crate) operation: String,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

impl Change {
    /// The new row's `id`, or the old one's.
    pub(crate) fn id(&self) -> i64 {
        self.after["id"]
            .as_i64()
            .or_else(|| self.before["id"].as_i64())
            .unwrap_or(-1)
    }
}

/// A record as it is in the log.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

pub(crate) struct Reader {
    pub(crate) source: Source,
    confirmer: Confirmer,
    pub(crate) confirming: bool,
    /// Visible: of committed groups.
    pub(crate) changes: Vec<Change>,
    /// Of the open group.
    open: Vec<Change>,
    pub(crate) tables: Vec<String>,
    names: HashMap<TableKey, (String, String)>,
    /// Every record of committed groups, where it is kept.
    pub(crate) raw: Option<Vec<Raw>>,
    open_raw: Vec<Raw>,
    pub(crate) rewinds: usize,
    pub(crate) parts: usize,
    /// The stored position.
    pub(crate) position: Option<Vec<u8>>,
}

/// A source on this server with slot and publication `headwater_shop`.
pub(crate) fn config(url: SourceUrl) -> SourceConfig {
    SourceConfig {
        url,
        instance: "shop".into(),
        slot: "headwater_shop".into(),
        slot_temporary: false,
        publication: "headwater_shop".into(),
        tables: TableFilter::default(),
        columns: ColumnFilter::default(),
        feeds: vec![FeedFormat::DebeziumJson {
            preset: Preset::Flink,
            name: "shop".into(),
        }],
        limits: CaptureLimits::default(),
        drop_publications_at_stop: false,
        first_failure_is_final: true,
        always_binary: false,
        catalog_poll_interval: Duration::from_millis(300),
        failover_slot: false,
        heartbeat_interval: None,
        wal_warn_bytes: 1 << 30,
        known_keys: Vec::new(),
    }
}

/// Unix ms.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

impl Reader {
    pub(crate) fn start(config: SourceConfig) -> Self {
        Self::resume(config, None)
    }

    pub(crate) fn resume(config: SourceConfig, position: Option<Vec<u8>>) -> Self {
        let source = Source::spawn(config, position.clone(), now).expect("a thread for the source");
        Self {
            confirmer: source.confirmer(),
            source,
            confirming: true,
            changes: Vec::new(),
            open: Vec::new(),
            tables: Vec::new(),
            names: HashMap::new(),
            raw: None,
            open_raw: Vec::new(),
            rewinds: 0,
            parts: 0,
            position,
        }
    }

    /// Starts, and waits until it runs.
    pub(crate) async fn running(config: SourceConfig) -> Self {
        let mut reader = Self::start(config);
        reader
            .until("running", |reader| {
                reader.status().state.name() == "running"
            })
            .await;
        reader
    }

    pub(crate) fn status(&self) -> SourceStatus {
        self.source.status().borrow().clone()
    }

    pub(crate) fn state(&self) -> &'static str {
        self.status().state.name()
    }

    /// What the state says, with the fix.
    pub(crate) fn told(&self) -> String {
        let state = self.status().state;
        format!(
            "{}; {}",
            state.reason().unwrap_or_default(),
            state.fix().unwrap_or_default()
        )
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        self.changes.iter().map(Change::id).collect()
    }

    /// The warning about a table, if it is captured and has one.
    pub(crate) fn warning(&self, table: &str) -> Option<String> {
        self.status()
            .tables
            .into_iter()
            .find(|shown| shown.name == table)?
            .warning
    }

    pub(crate) fn shows(&self, table: &str) -> bool {
        self.status().tables.iter().any(|shown| shown.name == table)
    }

    pub(crate) fn shows_keyed(&self, table: &str) -> bool {
        self.status()
            .tables
            .iter()
            .any(|shown| shown.name == table && shown.keyed)
    }

    /// Reads until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !done(self) {
                // The condition may also be about the status.
                let pause = Duration::from_millis(50);
                match tokio::time::timeout(pause, self.source.next()).await {
                    Ok(Some(captured)) => self.take(captured),
                    Ok(None) => {
                        assert!(
                            done(self),
                            "source ended before: {what}; {:?}",
                            self.status()
                        );
                    }
                    Err(_) => {}
                }
            }
        });
        if waited.await.is_err() {
            let ids = self.ids();
            panic!(
                "waited in vain for: {what}; {:?}; ids {ids:?}",
                self.status()
            );
        }
    }

    /// Reads until the source ends by itself.
    pub(crate) async fn end(&mut self) {
        let ended = async {
            while let Some(captured) = self.source.next().await {
                self.take(captured);
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        assert!(
            ended.is_ok(),
            "the source does not end: {:?}",
            self.status()
        );
    }

    pub(crate) async fn stop(mut self) -> (Vec<Change>, Option<Vec<u8>>) {
        self.source.stop().await;
        assert!(self.source.next().await.is_none());
        (self.changes, self.position)
    }

    pub(crate) fn take(&mut self, captured: Captured) {
        match captured {
            Captured::Tables(tables) => {
                for table in tables {
                    let names = (table.schema, table.name.clone());
                    self.names.insert(table.key, names);
                    self.tables.push(table.name);
                }
            }
            Captured::Rewind => {
                self.rewinds += 1;
                self.open.clear();
                self.open_raw.clear();
            }
            Captured::Group(group) => self.append(&group),
        }
    }

    fn append(&mut self, group: &TransactionGroup) {
        for batch in &group.batches {
            for record in records(&batch.batch.bytes) {
                let record = record.unwrap();
                if self.raw.is_some() {
                    let (schema, table) =
                        self.names[&batch.table.expect("feeds here are per table")].clone();
                    self.open_raw.push(raw(schema, table, &record));
                }
                let Some(value) = record.value else { continue };
                let value: Value = serde_json::from_slice(value).unwrap();
                let value = value.get("payload").unwrap_or(&value);
                self.open.push(Change {
                    table: value["source"]["table"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    operation: value["op"].as_str().unwrap_or_default().to_owned(),
                    before: value["before"].clone(),
                    after: value["after"].clone(),
                });
            }
        }
        let Some(commit) = &group.commit else {
            self.parts += 1;
            return;
        };
        self.changes.append(&mut self.open);
        if let Some(raw) = &mut self.raw {
            raw.append(&mut self.open_raw);
        }
        self.position = Some(commit.position.clone());
        if self.confirming {
            self.confirmer.confirm(&commit.position);
        }
    }
}

fn raw(schema: String, table: String, record: &RecordView<'_>) -> Raw {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = record.headers.iter();
    Raw {
        schema,
        table,
        key: record.key.map(text),
        value: record.value.map(text),
        headers: headers
            .map(|header| (header.key.to_owned(), text(header.value.unwrap())))
            .collect(),
    }
}
