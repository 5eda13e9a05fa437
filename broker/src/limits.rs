//! Every bound of the broker, with its unit and where it comes from.

use std::time::Duration;

use headwater_storage::RetentionLimits;

/// This broker's node id. There is one node.
pub const NODE_ID: i32 = 1;

/// Log that a source without a limit holds for us before a warning is shown, unless configured (`wal_warn`), bytes.
pub const WAL_WARN_BYTES: u64 = 10 << 30;

/// Heartbeats at a source come no faster: each is a record in its log.
pub const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Bytes of one request that a connection may hold without asking [`REQUESTS_BYTES_MAX`]: 80 partitions of a
/// Fetch, more than most clients ever ask for at once.
pub const REQUEST_BYTES_FREE: usize = 4 << 10;

/// Request bytes in flight over all connections (design section 3, "Reads"), decoded requests included.
pub const REQUESTS_BYTES_MAX: usize = 32 << 20;

/// The same for clients that have not logged in: what strangers fill is not taken from users.
pub const STRANGERS_BYTES_MAX: usize = 4 << 20;

/// Bytes of memory that one byte of a decoded request, and of the answer that repeats it, may take, at worst: a
/// topic name of two bytes becomes a struct of 80 and an answer of 150. Times the largest frame it stays
/// below [`REQUESTS_BYTES_MAX`], or the largest request could never be served.
pub const DECODED_BYTES_FACTOR: usize = 24;

/// The same for a Fetch, whose partitions are never shorter than 29 bytes. It is held while the fetch is parked.
pub const DECODED_FETCH_FACTOR: usize = 4;

/// Bytes of further requests that are read while one is being answered; that is also how a client's hanging up is
/// noticed.
pub const READ_AHEAD_BYTES: usize = 4 << 10;

/// How long a connection may wait for its share of [`REQUESTS_BYTES_MAX`] before it is closed.
pub const REQUEST_BUDGET_WAIT: Duration = Duration::from_secs(10);

/// Bytes referenced by responses that are not sent yet, over all connections (design section 3, "Reads").
pub const RESPONSES_BYTES_MAX: usize = 64 << 20;

/// Memory that one setting of a DescribeConfigs answer takes, decoded and encoded, at most, in bytes; of
/// [`RESPONSES_BYTES_MAX`].
pub const CONFIG_ENTRY_BYTES: usize = 640;

/// Record bytes of one Fetch response, whatever the client asks for; the first batch always goes. A quarter of
/// [`RESPONSES_BYTES_MAX`], so that one reader cannot take it all.
pub const FETCH_BYTES_MAX: usize = 16 << 20;

/// Longest wait of a Fetch, whatever the client asks for. Longer than any client's default, shorter than
/// [`IDLE_CLOSE`].
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// Fetch sessions over all connections (Kafka's `max.incremental.fetch.session.cache.slots`).
pub const FETCH_SESSIONS_MAX: usize = 1_000;

/// Memory of all fetch sessions, in bytes: some 25,000 partitions. A fetch of a session that waits takes as much again.
pub const FETCH_SESSIONS_BYTES_MAX: usize = 8 << 20;

/// What a partition takes in a fetch session besides its topic's name, in bytes, about.
pub const FETCH_SESSION_PARTITION_BYTES: usize = 320;

/// A fetch session that was not used for this long may make room for another (Kafka's
/// `min.incremental.fetch.session.eviction.ms`).
pub const FETCH_SESSION_EVICT_AFTER: Duration = Duration::from_secs(2 * 60);

/// Bytes given to the socket by one call, and written before other connections of the same thread get their turn: a
/// whole response of ordinary size. A call for each 256 KiB costs almost twice the processor time and wakes the client
/// each time (measured: `docs/benchmarks.md`).
pub const WRITE_BYTES_MAX: usize = 2 << 20;

/// Slices given to the socket by one call (Linux takes at most 1,024).
pub const WRITE_SLICES_MAX: usize = 512;

/// A file's bytes that a client did not take for this long may have left the system's memory: they are read again off the
/// runtime before more is sent.
pub const COOLS_AFTER: Duration = Duration::from_secs(1);

/// A response of which the client took nothing for this long, or a request of which nothing more came, closes
/// the connection.
pub const PROGRESS_DEADLINE: Duration = Duration::from_secs(30);

/// A connection without a request for this long is closed (Kafka's `connections.max.idle.ms`).
pub const IDLE_CLOSE: Duration = Duration::from_secs(10 * 60);

/// Connections over all Kafka listeners by default.
pub const CONNECTIONS_MAX: usize = 12_000;

/// Files that the process has open beside its Kafka clients, at most, about: those of the log, of sled, of HTTP and of
/// sources.
pub const FILES_BESIDE_CONNECTIONS: u64 = 512;

/// Pause of the accept loop when the process or the system has no descriptor left.
pub const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// How long connections may finish what they are doing at a stop. The whole stop takes less than 2 s.
pub const STOP_GRACE: Duration = Duration::from_millis(800);

/// How long the log threads may take to end at a stop (the source's farewell included).
pub const STOP_INSTANCES: Duration = Duration::from_millis(1_000);

/// Log lines of one kind in [`LOG_WINDOW`]; what is over is counted and told with the next line.
pub const LOG_LINES_PER_WINDOW: u32 = 5;

/// See [`LOG_LINES_PER_WINDOW`].
pub const LOG_WINDOW: Duration = Duration::from_secs(10);

/// A sync starts no sooner than this after the last one started (design section 3, point 3).
pub const SYNC_MIN_INTERVAL: Duration = Duration::from_millis(1);

/// How often the free space is looked at.
pub const SPACE_POLL: Duration = Duration::from_secs(1);

/// Free bytes below which the oldest records should go, by default.
pub const SPACE_LOW_BYTES: u64 = 1 << 30;

/// Free bytes below which capture waits, by default: four journal files, so that sled and the catalog can go on.
pub const SPACE_STOP_BYTES: u64 = 256 << 20;

/// Free bytes below which the ballast is given up, so that sled and the catalog can go on.
pub const SPACE_CRITICAL_BYTES: u64 = 8 << 20;

/// Pause after space was refused that seemed to be there, and between attempts to make the ballast.
pub const SPACE_RETRY: Duration = Duration::from_secs(10);

/// How long a transaction that fills the disk waits for retention, which seals and deletes meanwhile, before it counts
/// as too large.
pub(crate) const SPACE_PATIENCE: Duration = Duration::from_secs(10);

/// Topic name, bytes (Kafka's `Topic.MAX_NAME_LENGTH`).
pub const TOPIC_NAME_BYTES: usize = 249;

/// Kafka's `group.id`, bytes; and `group.instance.id`, which Kafka's clients bound as they do topic names.
pub const GROUP_ID_BYTES: usize = 249;

/// How much of a client's id a member id begins with, characters.
pub const CLIENT_ID_CHARS: usize = 64;

/// Groups that come into being on first use, over all instances (design section 5).
pub const FIRST_USE_GROUPS_MAX: usize = 1_000;

/// Groups of operators whose figures `/metrics` tells one by one: as many as an instance may have at most.
pub const GROUPS_TOLD_MAX: usize = 1_000;

/// The same of groups of first use, the oldest: throwaway groups of tools do not fill a time series database.
pub const FIRST_USE_GROUPS_TOLD_MAX: usize = 100;

/// Positions that `/metrics` tells, over all groups.
pub const GROUP_POSITIONS_TOLD_MAX: usize = 5_000;

/// How long the broker runs without a member and commit of a group of first use before it vanishes.
pub const FIRST_USE_IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How often that time is counted and noted.
pub const IDLE_NOTE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// How late the end of a session may be noticed.
pub const GROUP_TICK: Duration = Duration::from_millis(100);

/// The groups' positions are copied this long after they changed, at most.
pub const POSITIONS_COPY_INTERVAL: Duration = Duration::from_secs(5);

/// Writes of groups that wait for a sync; whoever comes then waits for room.
pub const GROUP_WRITES_QUEUED: usize = 256;

/// Positions in one OffsetFetch response, over all groups that it asks for.
pub const OFFSET_FETCH_POSITIONS_MAX: usize = 100_000;

/// Instance and feed name, characters.
pub const NAME_CHARS: usize = 63;

/// HTTP connections at once, over all listeners.
pub const HTTP_CONNECTIONS_MAX: usize = 64;

/// HTTP request head, bytes.
pub const HTTP_HEAD_BYTES: usize = 16 << 10;

/// Time an HTTP client has to send a request head.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP request body, bytes.
pub const HTTP_BODY_BYTES: usize = 64 << 10;

/// Time an HTTP client has to send a request body.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answer of a broker to the command line, bytes: a group may have thousands of topics.
pub const CLI_ANSWER_BYTES: usize = 64 << 20;

/// Time that the command line waits for a broker's answer: a seek may read the disk for each topic.
pub const CLI_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Configuration file, bytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Password file, bytes.
pub const PASSWORD_BYTES_MAX: u64 = 4 << 10;

/// Threads of the runtime: as many as there are cores, within these bounds.
pub const WORKER_THREADS: std::ops::RangeInclusive<usize> = 2..=4;

/// Threads that read files for fetches.
pub const BLOCKING_THREADS: usize = 8;

/// The newest batches of an instance kept in memory, bytes (design section 3, "Reads").
pub const RING_BYTES: usize = 32 << 20;

/// Memory for blocks of sealed segments, over all instances (design section 3, "Reads").
pub const CACHE_BYTES: usize = 16 << 20;

/// Length of a log file, bytes.
pub const FILE_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;

/// Smallest size limit of a log, in files: its newest ones, up to three, are never deleted.
pub const RETENTION_FILES_MIN: u64 = 4;

/// What `dev` keeps (design section 3, "Retention").
pub const DEV_RETENTION: RetentionLimits = RetentionLimits {
    age: Duration::from_secs(24 * 3600),
    bytes: 1 << 30,
};

/// Time from accept to login (or to the end of the TLS handshake, where nobody logs in).
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(10);

/// Connections over all listeners that have not logged in yet.
pub const UNAUTHENTICATED_MAX: usize = 2_000;

/// The same of one address (of a /64, for IPv6). As many as a large application behind one address opens at once.
pub const UNAUTHENTICATED_PER_ADDRESS_MAX: usize = 200;

/// The answer to a first wrong login waits for this (Kafka's `connection.failed.authentication.delay.ms`), to each
/// further one of the same user or address twice as long, up to [`LOGIN_DELAY_MAX`].
pub const LOGIN_DELAY_MIN: Duration = Duration::from_millis(100);

/// See [`LOGIN_DELAY_MIN`]. With [`UNAUTHENTICATED_PER_ADDRESS_MAX`] places an address has 62 guesses a second.
pub const LOGIN_DELAY_MAX: Duration = Duration::from_millis(3_200);

/// A connection whose login was refused stays open for this long, unless the client closes it: kafka-python 3.0 reads
/// until the end and then drops the answer that lay before it.
pub const REFUSAL_READ: Duration = Duration::from_secs(1);

/// A user or address without a wrong login for this long begins anew.
pub const LOGIN_DELAY_FORGET: Duration = Duration::from_secs(60);

/// Users, and addresses, whose wrong logins are remembered; over it the oldest is forgotten.
pub const LOGIN_DELAY_ENTRIES: usize = 4_096;

/// Passwords that are remembered as right. More than there are groups in most brokers.
pub const LOGIN_REMEMBERED: usize = 4_096;

/// Passwords checked at once. Others work on while somebody guesses.
pub const VERIFY_THREADS: usize = 1;

/// Passwords that wait to be checked: [`UNAUTHENTICATED_MAX`] would never fit in [`LOGIN_DEADLINE`].
pub const VERIFY_QUEUE: usize = 1_024;

/// The same of one address.
pub const VERIFY_QUEUE_PER_ADDRESS: usize = 128;

/// Characters of a user name that a log line repeats.
pub const USER_NAME_CHARS_SHOWN: usize = 64;

/// Encrypted bytes of one connection that wait for the socket: 8 TLS records.
pub const TLS_BUFFER_BYTES: usize = 128 << 10;

/// Certificate or key file, bytes.
pub const PEM_BYTES_MAX: u64 = 1 << 20;

/// Orders to one instance that wait for the one before them.
pub(crate) const ORDERS_WAITING_MAX: usize = 4;
/// How long who gave an order waits for it. Longer than [`RESYNC_LIMIT`] and the source's stop, shorter than
/// [`CLI_ANSWER_TIMEOUT`].
pub(crate) const ORDER_LIMIT: Duration = Duration::from_secs(55);
/// How long a resync waits for the server: a new slot waits for all open transactions.
pub(crate) const RESYNC_LIMIT: Duration = Duration::from_secs(40);
/// Longest reason of a pause, characters.
pub(crate) const PAUSE_REASON_CHARS_MAX: usize = 200;
