//! The data directory: one per broker process. Opening it locks it, checks whose it is, and brings `catalog.log`
//! and sled together; each instance's journal is opened from it.
//!
//! | name             | what                                                                    |
//! |------------------|-------------------------------------------------------------------------|
//! | `lock`           | empty; locked while a process has the directory open                    |
//! | `FORMAT`         | version and id of the directory (`docs/format.md`, "FORMAT file")       |
//! | `catalog.log`    | every change of the catalog ([`crate::catalog`])                        |
//! | `meta/`          | sled ([`crate::meta::key`])                                             |
//! | `positions.copy` | the groups' positions once more ([`crate::positions`])                  |
//! | `meta.damaged-N` | a sled that could not be used and was made again; for people            |
//! | `ballast`        | space that can be given back ([`crate::ballast`])                       |
//! | `journal/`       | each instance's journal ([`crate::journal`])                            |
//! | `*.new`          | a file that is being written; a start writes it anew                    |

pub(crate) mod format_file;
mod lock;
mod meta_and_catalog;
mod space;

use std::{fs::File, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    ballast::{BALLAST_BYTES, Ballast},
    block_cache::{BlockCache, CACHE_BYTES},
    catalog::{Catalog, CatalogChange, store::CatalogStore},
    disk::{SegmentStore, real::RealDisk},
    error::StorageError,
    journal::{Journal, JournalOptions, JournalSetup, Now, TopicEpochs},
    keeper::{Keeper, KeeperOptions, KeeperSetup},
    log::Log,
    meta::{
        MetaStore,
        folder::{Given, MetaFolder, SledFolder},
    },
    number::{InstanceNumber, TopicNumber},
    open_error::open_error,
    positions::PositionStore,
    recover::Recovered,
};

/// How a data directory is opened. The default is what production uses.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Of every instance's journal.
    pub journal: JournalOptions,
    /// Memory of the cache that all readers share, bytes.
    pub cache_bytes: usize,
    /// Size of the ballast, bytes; 0 for none.
    pub ballast_bytes: u64,
    /// Wall clock at the opening, ms since 1970. Only noted for people; decides nothing.
    pub opened_ms: i64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            journal: JournalOptions::default(),
            cache_bytes: CACHE_BYTES,
            ballast_bytes: BALLAST_BYTES,
            opened_ms: 0,
        }
    }
}

/// An open data directory. Dropping it unlocks it.
#[derive(Debug)]
pub struct DataDirectory {
    directory_id: Uuid,
    cluster_id: String,
    catalog: Arc<CatalogStore>,
    cache: Arc<BlockCache>,
    disk: Arc<dyn SegmentStore>,
    meta: Arc<dyn MetaStore>,
    options: StoreOptions,
    /// `None` on a disk that is not the system's.
    ballast: Option<Ballast>,
    /// Held until everything above is closed. `None` on a disk that no other process can see.
    _lock: Option<File>,
}

impl DataDirectory {
    /// Opens the directory, or makes it (mode 0700). Its lock is waited for half a second, sled's up to a second. A sled
    /// that cannot be used is moved aside and made again from `catalog.log`, which is told in a line.
    ///
    /// # Errors
    /// [`StorageError::Locked`] if another process has it; [`StorageError::Refused`] where it is not ours to open:
    /// another program's, a newer version's, not writable, parts of different backups; [`StorageError::NoSpace`];
    /// [`StorageError::Damaged`] or [`StorageError::Read`] where it cannot be read;
    /// [`StorageError::Poisoned`] where a write failed.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StorageError> {
        let lock = lock::lock(path)?;
        let disk: Arc<dyn SegmentStore> =
            Arc::new(RealDisk::open(path).map_err(|error| open_error(path, error))?);
        let ballast = Ballast::new(path, options.ballast_bytes);
        space::make_room(path, &ballast)?;
        let open = || Self::open_in(Arc::clone(&disk), &SledFolder::of(path), options);
        let opened = match open() {
            // A quota does not show in the free space.
            Err(StorageError::NoSpace(_)) if space::release(path, &ballast)? => open(),
            opened => opened,
        };
        let opened = opened.map_err(|error| within(path, error))?;
        space::keep_some(&ballast);
        Ok(Self {
            ballast: Some(ballast),
            _lock: Some(lock),
            ..opened
        })
    }

    /// Opens the directory on any disk and sled's stand-in, as tests do. Locks nothing.
    ///
    /// # Errors
    /// As [`DataDirectory::open`].
    pub fn open_on(
        disk: Arc<dyn SegmentStore>,
        meta: Arc<dyn MetaStore>,
        options: &StoreOptions,
    ) -> Result<Self, StorageError> {
        Self::open_in(disk, &Given(meta), options)
    }

    /// Opens the directory on any disk, its meta store in any folder. Locks nothing.
    ///
    /// # Errors
    /// As [`DataDirectory::open`].
    pub fn open_in(
        disk: Arc<dyn SegmentStore>,
        meta: &dyn MetaFolder,
        options: &StoreOptions,
    ) -> Result<Self, StorageError> {
        // Whose the directory is comes before anything is made in it.
        let directory_id = format_file::open(&*disk)?;
        let (meta, catalog) =
            meta_and_catalog::open(&*disk, meta, (directory_id, options.opened_ms))?;
        let cluster_id = URL_SAFE_NO_PAD.encode(directory_id.as_bytes());
        Ok(Self {
            directory_id,
            cluster_id,
            catalog: Arc::new(catalog),
            cache: Arc::new(BlockCache::new(options.cache_bytes)),
            disk,
            meta,
            options: options.clone(),
            ballast: None,
            _lock: None,
        })
    }

    /// Opens an instance's journal with all topics that the instance has now; later ones are added by
    /// [`Journal::add_topic`]. Once per instance while the journal lives.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for an instance that does not exist; as [`Journal::open`].
    pub fn open_journal(
        &self,
        instance: InstanceNumber,
        now: Now,
    ) -> Result<(Journal, Arc<Log>, Recovered), StorageError> {
        let catalog = self.catalog();
        if catalog.instance(instance).is_none() {
            return Err(StorageError::Invalid(format!(
                "no instance number {instance}"
            )));
        }
        let setup = JournalSetup {
            disk: Arc::clone(&self.disk),
            meta: Arc::clone(&self.meta),
            instance,
            topics: catalog
                .topics_of(instance)
                .map(|topic| TopicEpochs::from(&**topic))
                .collect(),
            options: self.options.journal,
            oldest_file: catalog.oldest_file(instance),
            cache: Arc::clone(&self.cache),
        };
        let (journal, log, recovered) = Journal::open(setup, now)?;
        self.refuse_unknown(instance, &journal)?;
        Ok((journal, log, recovered))
    }

    /// What a journal uses was in the catalog before, durably: a catalog that does not know it has lost its end.
    fn refuse_unknown(
        &self,
        instance: InstanceNumber,
        journal: &Journal,
    ) -> Result<(), StorageError> {
        let catalog = self.catalog();
        let is_known = |topic: &TopicNumber| {
            catalog
                .topic(*topic)
                .is_some_and(|t| t.instance == instance)
        };
        let unknown = journal.topics().find(|topic| !is_known(topic));
        let lost = match unknown {
            Some(topic) => format!("topic {topic}"),
            None if journal.schema_version() > catalog.schema_version() => {
                format!("schema version {}", journal.schema_version())
            }
            None => return Ok(()),
        };
        Err(StorageError::Damaged(format!(
            "the journal of instance {instance} uses {lost}, which the catalog does not know: catalog.log and sled \
             (folder meta) have lost it; restore the whole data directory from one backup, or start with an empty one"
        )))
    }

    /// What seals and deletes the files of `log`, the log of `instance`. One per instance while its journal lives.
    ///
    /// # Errors
    /// As [`Keeper::open`].
    pub fn open_keeper(
        &self,
        instance: InstanceNumber,
        log: &Arc<Log>,
        (options, now): (KeeperOptions, Now),
    ) -> Result<Keeper, StorageError> {
        let setup = KeeperSetup {
            disk: Arc::clone(&self.disk),
            meta: Arc::clone(&self.meta),
            catalog: Arc::clone(&self.catalog),
            instance,
            log: Arc::clone(log),
            options,
        };
        Keeper::open(setup, now)
    }

    /// The cache that all readers share.
    #[must_use]
    pub fn cache(&self) -> &Arc<BlockCache> {
        &self.cache
    }

    /// Opens the consumer groups' positions. Once while the store lives.
    ///
    /// # Errors
    /// [`StorageError::Damaged`], [`StorageError::Refused`] or [`StorageError::Read`].
    pub fn open_positions(&self) -> Result<PositionStore, StorageError> {
        PositionStore::open(
            Arc::clone(&self.meta),
            Arc::clone(&self.disk),
            self.directory_id,
        )
    }

    /// Random, made with the directory, never changed.
    #[must_use]
    pub fn directory_id(&self) -> Uuid {
        self.directory_id
    }

    /// Kafka's cluster id: 22 characters, the base64url form of [`DataDirectory::directory_id`].
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Its ballast, which also knows the free space. `None` on a disk that is not the system's.
    #[must_use]
    pub fn ballast(&self) -> Option<&Ballast> {
        self.ballast.as_ref()
    }

    /// What exists now. A snapshot: later changes are in later ones.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.catalog()
    }

    /// Makes one change of all of `changes`, in order. Durable (power loss included) and visible when it
    /// returns, or not at all. New things take their numbers from the `Catalog::next_..` methods of the newest
    /// snapshot.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for the first that may not be, nothing was changed;
    /// [`StorageError::Poisoned`] when a write or sync failed, now or before: the process must exit.
    pub fn change(&self, changes: Vec<CatalogChange>) -> Result<Arc<Catalog>, StorageError> {
        self.catalog.change(&changes)
    }
}

/// Names the directory in an error that does not.
fn within(path: &Path, error: StorageError) -> StorageError {
    let path = path.display();
    match error {
        StorageError::Refused(text) => {
            StorageError::Refused(format!("data directory {path}: {text}"))
        }
        StorageError::Damaged(text) => {
            StorageError::Damaged(format!("data directory {path}: {text}"))
        }
        StorageError::Poisoned(text) => {
            StorageError::Poisoned(format!("data directory {path}: {text}"))
        }
        StorageError::NoSpace(text) => {
            StorageError::NoSpace(format!("data directory {path}: {text}"))
        }
        StorageError::Read { what, source } => StorageError::Read {
            what: format!("data directory {path}: {what}"),
            source,
        },
        StorageError::Locked { .. } | StorageError::Invalid(_) => error,
    }
}
