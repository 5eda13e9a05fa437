//! A disk that fills up under a running broker, and one that is full at its start: a small file system of the tests'
//! own, which needs root. Without it the tests say so and check nothing.

#![expect(clippy::print_stdout, reason = "what is not tested is said")]

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use headwater::{
    RunningBroker, StartError, config::StorageConfig, instance::channel::ChannelFeeder,
    space::SpaceLimits,
};
use headwater_capture::Captured;
use headwater_storage::StorageError;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::{sleep, timeout},
};

use crate::{
    harness::{ORDERS, ORDERS_KEY, Settings, group_of, start_on, table},
    wire::{Client, Fetch},
};

const MIB: u64 = 1 << 20;
const LIMITS: SpaceLimits = SpaceLimits {
    low: 12 * MIB,
    stop: 6 * MIB,
    ballast: 5 * MIB,
};
/// A state is looked at once a second.
const SOON: Duration = Duration::from_secs(15);

/// A file system of 64 MiB in memory.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = c"size=64m";
        match mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), size) {
            Ok(()) => Some(Self { folder }),
            Err(error) => {
                println!(
                    "not tested: a small file system cannot be mounted ({error}); run this as root"
                );
                None
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(self.folder.path()).unwrap();
        found.f_bavail * found.f_frsize
    }

    /// Somebody else's file, so large that `rest` bytes stay free.
    fn fill(&self, rest: u64) {
        let mut file = File::create(self.folder.path().join("filler")).unwrap();
        while self.free() > rest {
            let bytes = usize::try_from((self.free() - rest).min(64 << 10)).unwrap();
            match file.write_all(&vec![1; bytes]) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                written => written.unwrap(),
            }
        }
    }

    fn free_up(&self) {
        fs::remove_file(self.folder.path().join("filler")).unwrap();
    }

    async fn start(&self) -> Result<(ChannelFeeder, RunningBroker), StartError> {
        let storage = StorageConfig {
            file_bytes: MIB,
            ring_bytes: 64 << 10,
            space: LIMITS,
            ..StorageConfig::default()
        };
        let settings = Settings {
            storage: Some(storage),
            ..Settings::default()
        };
        start_on(self.data(), settings).await
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(self.folder.path(), UnmountFlags::DETACH).unwrap();
    }
}

async fn health(data: &Path) -> String {
    let mut stream = UnixStream::connect(data.join("headwater.sock"))
        .await
        .unwrap();
    let request =
        "GET /healthz/instances/shop HTTP/1.1\r\nHost: headwater\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn until_health_has(data: &Path, words: &[&str]) -> String {
    let mut answer = String::new();
    for _ in 0..SOON.as_millis() / 100 {
        answer = health(data).await;
        if words.iter().all(|word| answer.contains(word)) {
            return answer;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{words:?} not in {answer}");
}

/// Sends a group of one record; whether it is confirmed within `patience`.
async fn commit(feeder: &mut ChannelFeeder, number: u8, patience: Duration) -> bool {
    let mut group = group_of(ORDERS_KEY);
    if let Some(commit) = &mut group.commit {
        commit.position = vec![number];
    }
    feeder.captured.send(Captured::Group(group)).await.unwrap();
    confirmed(feeder, number, patience).await
}

async fn confirmed(feeder: &mut ChannelFeeder, number: u8, patience: Duration) -> bool {
    let told = feeder.confirmed.wait_for(|position| *position == [number]);
    timeout(patience, told).await.is_ok_and(|told| told.is_ok())
}

async fn end_offset(broker: &RunningBroker) -> i64 {
    let mut client = Client::connect(broker.kafka_addresses()[0]).await;
    let partition = client.fetch(Fetch::of(ORDERS, 0)).await;
    assert_eq!(partition.error_code, 0);
    assert!(
        partition.records.is_some_and(|records| !records.is_empty()),
        "served"
    );
    partition.high_watermark
}

async fn with_a_record(disk: &SmallDisk) -> (ChannelFeeder, RunningBroker) {
    let (mut feeder, broker) = disk.start().await.unwrap();
    let tables = vec![table(ORDERS_KEY, "orders")];
    feeder
        .captured
        .send(Captured::Tables(tables))
        .await
        .unwrap();
    assert!(commit(&mut feeder, 1, SOON).await);
    (feeder, broker)
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_waits_while_the_disk_is_full_and_goes_on_by_itself() {
    let Some(disk) = SmallDisk::mounted() else {
        return;
    };
    let (mut feeder, broker) = with_a_record(&disk).await;
    assert!(health(&disk.data()).await.starts_with("HTTP/1.1 200"));
    disk.fill(5 * MIB);
    let answer = until_health_has(&disk.data(), &["disk_full"]).await;
    for words in [
        "HTTP/1.1 503",
        "space_stop_bytes (6 MiB)",
        "the source keeps its log",
        "goes on by itself",
    ] {
        assert!(answer.contains(words), "{words}: {answer}");
    }
    assert!(
        !commit(&mut feeder, 2, Duration::from_secs(2)).await,
        "it waits"
    );
    assert_eq!(end_offset(&broker).await, 1, "consumers are served");
    disk.free_up();
    assert!(confirmed(&mut feeder, 2, SOON).await, "it goes on");
    until_health_has(&disk.data(), &["HTTP/1.1 200", "running"]).await;
    assert_eq!(end_offset(&broker).await, 2);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_waits_for_space_stops_at_once_and_loses_nothing() {
    let Some(disk) = SmallDisk::mounted() else {
        return;
    };
    let (mut feeder, broker) = with_a_record(&disk).await;
    disk.fill(5 * MIB);
    until_health_has(&disk.data(), &["disk_full"]).await;
    assert!(!commit(&mut feeder, 2, Duration::from_millis(300)).await);
    timeout(Duration::from_secs(2), broker.stop())
        .await
        .unwrap()
        .unwrap();
    disk.free_up();
    let (mut feeder, broker) = disk.start().await.unwrap();
    let tables = vec![table(ORDERS_KEY, "orders")];
    feeder
        .captured
        .send(Captured::Tables(tables))
        .await
        .unwrap();
    assert!(
        commit(&mut feeder, 2, SOON).await,
        "the source sends it again"
    );
    assert_eq!(end_offset(&broker).await, 2);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_opened_with_the_ballasts_space_and_the_ballast_comes_back() {
    let Some(disk) = SmallDisk::mounted() else {
        return;
    };
    let (_, broker) = with_a_record(&disk).await;
    broker.stop().await.unwrap();
    let ballast = disk.data().join("ballast");
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 5 * MIB);
    disk.fill(0);
    assert!(disk.free() < 4096);
    let (mut feeder, broker) = disk.start().await.expect("opens");
    assert!(!ballast.exists());
    assert_eq!(end_offset(&broker).await, 1);
    until_health_has(&disk.data(), &["disk_full"]).await;
    let tables = vec![table(ORDERS_KEY, "orders")];
    feeder
        .captured
        .send(Captured::Tables(tables))
        .await
        .unwrap();
    assert!(!commit(&mut feeder, 2, Duration::from_millis(500)).await);
    disk.free_up();
    assert!(confirmed(&mut feeder, 2, SOON).await);
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        if ballast.exists() {
            break;
        }
    }
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 5 * MIB);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_without_a_ballast_is_told_in_one_line() {
    let Some(disk) = SmallDisk::mounted() else {
        return;
    };
    let (_, broker) = with_a_record(&disk).await;
    broker.stop().await.unwrap();
    fs::remove_file(disk.data().join("ballast")).unwrap();
    disk.fill(0);
    let error = disk.start().await.map(drop).expect_err("is full");
    assert!(
        matches!(error, StartError::Storage(StorageError::NoSpace(_))),
        "{error:?}"
    );
    let line = error.to_string();
    for words in [
        disk.data().to_str().unwrap(),
        "disk is full",
        "free 40",
        "KiB more",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert!(!line.contains('\n'));
    disk.free_up();
    let (_, broker) = disk.start().await.expect("opens");
    assert_eq!(end_offset(&broker).await, 1);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_disk_is_filled_to_the_last_byte_keeps_running() {
    let Some(disk) = SmallDisk::mounted() else {
        return;
    };
    let (mut feeder, broker) = with_a_record(&disk).await;
    // Groups, while somebody else takes everything there is.
    for number in 2..40 {
        if number == 20 {
            disk.fill(0);
        }
        if !commit(&mut feeder, number, Duration::from_secs(2)).await {
            break;
        }
    }
    until_health_has(&disk.data(), &["disk_full"]).await;
    let end = end_offset(&broker).await;
    disk.free_up();
    until_health_has(&disk.data(), &["HTTP/1.1 200"]).await;
    assert!(commit(&mut feeder, 50, SOON).await);
    assert!(end_offset(&broker).await > end);
    broker.stop().await.unwrap();
}
