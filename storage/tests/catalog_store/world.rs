//! A data directory on the modelled disk, and a small history of its catalog.

use std::sync::Arc;

use headwater_storage::{
    Catalog, CatalogChange, DataDirectory, Feed, FeedLayout, FeedNumber, Gap, Group, GroupMode,
    GroupNumber, Instance, InstanceNumber, LeaderEpoch, Schema, SourceKind, StorageError,
    StoreOptions, StoredVerifier, TableIdentity, Topic, TopicNumber, VerifierMechanism,
    disk::model::{ModelDisk, power::PowerCut},
    meta::memory::MemoryMeta,
};
use uuid::Uuid;

/// The log's name, as `docs/format.md` gives it.
pub(crate) const LOG: &str = "catalog.log";

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) disk: ModelDisk,
    pub(crate) meta: Arc<MemoryMeta>,
}

/// What happens between two starts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Between {
    Kill,
    LoseAll,
    KeepAll,
    Seed(u64),
}

impl World {
    pub(crate) fn open(&self) -> Result<DataDirectory, StorageError> {
        let meta = Arc::clone(&self.meta);
        DataDirectory::open_on(Arc::new(self.disk.clone()), meta, &StoreOptions::default())
    }

    pub(crate) fn after(&self, between: Between) -> Self {
        let disk = match between {
            Between::Kill => self.disk.kill(),
            Between::LoseAll => self.disk.power_cut(PowerCut::LoseAll),
            Between::KeepAll => self.disk.power_cut(PowerCut::KeepAll),
            Between::Seed(seed) => self.disk.power_cut(PowerCut::Seeded(seed)),
        };
        Self {
            disk,
            meta: Arc::new(self.meta.restart()),
        }
    }

    /// Opens, and makes the changes of the history that are not there yet. How many are answered for.
    pub(crate) fn run(&self, history: &History) -> (usize, Result<(), StorageError>) {
        let directory = match self.open() {
            Ok(directory) => directory,
            Err(error) => return (0, Err(error)),
        };
        let mut answered = history.check(&directory.catalog());
        while let Some(changes) = history.changes.get(answered) {
            if let Err(error) = directory.change(changes.clone()) {
                assert_eq!(
                    history.check(&directory.catalog()),
                    answered,
                    "not answered, not shown"
                );
                return (answered, Err(error));
            }
            answered += 1;
            assert_eq!(history.check(&directory.catalog()), answered);
        }
        (answered, Ok(()))
    }
}

/// Changes, and the catalog before the first and after each.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) changes: Vec<Vec<CatalogChange>>,
    pub(crate) states: Vec<Catalog>,
}

impl History {
    /// Every kind of change, several in one.
    pub(crate) fn new() -> Self {
        Self::with_wide_tables(100, 5_000)
    }

    /// The same, with a change that takes several steps of sled's commit and several records in the log.
    pub(crate) fn large() -> Self {
        Self::with_wide_tables(200_000, 300_000)
    }

    fn with_wide_tables(wide: usize, wider: usize) -> Self {
        let changes = vec![
            vec![CatalogChange::Instance(instance(1, "shop"))],
            vec![
                CatalogChange::Feed(feed(1, 1, "tables")),
                CatalogChange::Topic(topic(1, "orders")),
                CatalogChange::Topic(topic(2, "customers")),
                CatalogChange::Schema(schema(1, "orders", 10)),
                CatalogChange::Schema(schema(2, "customers", 5_000)),
            ],
            vec![
                CatalogChange::Topic(topic(3, "wide")),
                CatalogChange::Schema(schema(3, "wide", wide)),
                CatalogChange::Schema(schema(4, "wider", wider)),
                CatalogChange::Schema(schema(5, "orders", 20)),
            ],
            vec![CatalogChange::Topic(with_epoch(topic(1, "orders"), 1, 77))],
            vec![CatalogChange::Instance(Instance {
                incarnation: 1,
                gaps: vec![gap(1)],
                ..instance(1, "shop")
            })],
            vec![
                CatalogChange::Schema(schema(6, "orders", 30)),
                CatalogChange::Group(group(1, "sync")),
                CatalogChange::Group(group(2, "audit")),
            ],
            vec![CatalogChange::Group(deleted(group(1, "sync")))],
            vec![
                CatalogChange::Group(group(3, "sync")),
                CatalogChange::Group(Group {
                    mode: GroupMode::Reject,
                    verifiers: vec![verifier(VerifierMechanism::ScramSha512)],
                    ..group(2, "audit")
                }),
            ],
        ];
        let mut states = vec![Catalog::default()];
        for change in &changes {
            let last = states.last().expect("is not empty");
            states.push(last.with(change).expect("is allowed"));
        }
        Self { changes, states }
    }

    /// How many changes `catalog` has; it must be exactly the state after them.
    pub(crate) fn check(&self, catalog: &Catalog) -> usize {
        let count = usize::try_from(catalog.change_number()).expect("is small");
        assert_eq!(*catalog, self.states[count], "state after {count} changes");
        count
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }
}

pub(crate) fn gap(incarnation: u32) -> Gap {
    Gap {
        incarnation,
        from: vec![1],
        to: vec![2],
        at_ms: 1_700_000_000_000,
        reason: "slot lost".to_owned(),
    }
}

pub(crate) fn instance(number: u32, name: &str) -> Instance {
    Instance {
        number: InstanceNumber(number),
        name: name.to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 1_700_000_000_000,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    }
}

pub(crate) fn feed(number: u32, instance: u32, name: &str) -> Feed {
    Feed {
        number: FeedNumber(number),
        instance: InstanceNumber(instance),
        name: name.to_owned(),
        layout: FeedLayout::PerTable,
        format: "debezium-json".to_owned(),
        preset: Some("flink".to_owned()),
        key: "primary-key".to_owned(),
        partitions: 1,
        prefix: "shop".to_owned(),
        start_position: vec![1, 0xab],
    }
}

pub(crate) fn table(name: &str) -> TableIdentity {
    TableIdentity {
        schema: "public".to_owned(),
        name: name.to_owned(),
        relation: 16_384,
    }
}

pub(crate) fn topic(number: u32, name: &str) -> Topic {
    Topic {
        number: TopicNumber(number),
        id: Uuid::from_u128(u128::from(number)),
        name: format!("shop.public.{name}"),
        instance: InstanceNumber(1),
        feed: FeedNumber(1),
        table: Some(table(name)),
        epochs: Topic::first_epoch(),
    }
}

pub(crate) fn with_epoch(mut topic: Topic, epoch: i32, start_offset: i64) -> Topic {
    topic.epochs.push(LeaderEpoch {
        epoch,
        start_offset,
    });
    topic
}

/// A version whose definition takes about so many bytes.
pub(crate) fn schema(version: u64, name: &str, bytes: usize) -> Schema {
    Schema {
        version,
        instance: InstanceNumber(1),
        table: table(name),
        definition: serde_json::json!({ "columns": ["id", "x".repeat(bytes)] }),
    }
}

pub(crate) fn group(number: u32, id: &str) -> Group {
    Group {
        number: GroupNumber(number),
        id: id.to_owned(),
        name: format!("the {id} group"),
        instance: InstanceNumber(1),
        account: "team_a".to_owned(),
        verifiers: vec![
            verifier(VerifierMechanism::ScramSha256),
            verifier(VerifierMechanism::ScramSha512),
        ],
        mode: GroupMode::Exclusive,
        created_ms: 1_700_000_000_000,
        created_group: 7,
        deleted: false,
    }
}

pub(crate) fn deleted(group: Group) -> Group {
    Group {
        verifiers: Vec::new(),
        deleted: true,
        ..group
    }
}

pub(crate) fn verifier(mechanism: VerifierMechanism) -> StoredVerifier {
    StoredVerifier {
        mechanism,
        salt: vec![0xfe; 16],
        iterations: 4_096,
        stored_key: vec![1; mechanism.key_bytes()],
        server_key: vec![2; mechanism.key_bytes()],
    }
}
