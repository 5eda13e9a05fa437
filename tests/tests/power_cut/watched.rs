//! The writer as its parent sees it: a process, and all that it has said.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use headwater_tests::harness::clock;
use tempfile::TempDir;

use crate::load::Load;

/// Environment variables of the child.
pub(crate) const PATH: &str = "HEADWATER_TEST_CHILD_PATH";
pub(crate) const SEED: &str = "HEADWATER_TEST_CHILD_SEED";

/// A debug build on a busy machine reads all of it again.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Numbers that the writer was given as durable, and what a reader saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) groups: u64,
    pub(crate) schemas: u64,
    pub(crate) topics: u64,
    pub(crate) seen_end: i64,
    /// Where topics began, by number: never earlier than before.
    pub(crate) starts: BTreeMap<u64, u64>,
    /// How many files were sealed.
    pub(crate) sealed: u64,
}

/// The writer's process, one at a time over the same data.
#[derive(Debug)]
pub(crate) struct Watched {
    data: PathBuf,
    load: Load,
    /// Where its panics go.
    errors: TempDir,
    running: Option<(Child, Receiver<String>)>,
    acknowledged: Acknowledged,
}

impl Watched {
    pub(crate) fn new(data: PathBuf, seed: u64) -> Self {
        Self {
            data,
            load: Load { seed },
            errors: tempfile::tempdir().expect("a temporary directory can be made"),
            running: None,
            acknowledged: Acknowledged::default(),
        }
    }

    pub(crate) fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    pub(crate) fn start(&mut self) {
        let errors = File::create(self.errors.path().join("errors")).expect("it is ours");
        let mut child = Command::new(env::current_exe().expect("a test knows its own path"))
            .args(["--exact", "writer_until_its_power_is_cut", "--ignored"])
            .arg("--nocapture")
            .env(PATH, &self.data)
            .env(SEED, self.load.seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("this test can be started again");
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        self.running = Some((child, lines));
    }

    /// Waits until it has checked everything and goes on. Panics with what it says if it does not get there.
    pub(crate) fn wait_until_it_writes(&mut self) {
        let before = self.acknowledged.groups;
        self.wait_until("it writes", |now| now.groups > before + 1);
    }

    /// Waits until a file was sealed, by whichever process, and records were deleted.
    pub(crate) fn wait_until_it_deletes(&mut self) {
        self.wait_until("it seals and deletes", |now| {
            now.sealed > 0 && now.starts.values().any(|start| *start > 0)
        });
    }

    fn wait_until(&mut self, what: &str, condition: impl Fn(&Acknowledged) -> bool) {
        let deadline = clock::now() + START_LIMIT;
        while !condition(&self.acknowledged) {
            let (_, lines) = self.running.as_ref().expect("it was started");
            let left = deadline.saturating_duration_since(clock::now());
            match lines.recv_timeout(left) {
                Ok(line) => self.note(&line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{}: waiting until {what}:\n{}", self.seed(), self.said())
                }
            }
        }
    }

    /// Waits for an end that it finds by itself.
    pub(crate) fn wait_for_its_end(&mut self, limit: Duration) {
        let (child, _) = self.running.as_mut().expect("it was started");
        let ended = clock::poll(limit, || child.try_wait().expect("a child can be asked"));
        let status: ExitStatus = ended.unwrap_or_else(|| {
            panic!(
                "{}: it goes on without a disk:\n{}",
                self.seed(),
                self.said()
            )
        });
        assert!(!status.success(), "it ended as if all were well");
        self.kill();
    }

    /// Kills it and takes in the rest of what it had said.
    pub(crate) fn kill(&mut self) {
        let (mut child, lines) = self.running.take().expect("it was started");
        let _may_have_ended = child.kill();
        child.wait().expect("a child can be waited for");
        for line in lines {
            self.note(&line);
        }
    }

    /// Removes sled's folder, if there is one. It is derived again from what else is there.
    pub(crate) fn lose_sled(&self) {
        match fs::remove_dir_all(self.data.join("meta")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                panic!("{}: removing sled's folder: {error}", self.seed())
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn note(&mut self, line: &str) {
        // The test framework writes in front of the first line.
        let mut words = line.split_whitespace().skip_while(|word| {
            ![
                "found", "group", "schema", "topic", "seen", "start", "sealed",
            ]
            .contains(word)
        });
        let kind = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        let known = &mut self.acknowledged;
        match (kind, &numbers[..]) {
            ("found", &[groups, schemas, topics]) => self.compare(groups, schemas, topics),
            ("group", &[number]) => known.groups = number,
            ("schema", &[number]) => known.schemas = number,
            ("topic", &[number]) => known.topics = number,
            ("seen", &[_, end]) => {
                known.seen_end = known.seen_end.max(i64::try_from(end).expect("small"));
            }
            ("start", &[topic, start]) => self.compare_start(topic, start),
            ("sealed", &[_]) => known.sealed += 1,
            _ => {}
        }
    }

    /// What retention deleted does not come back.
    fn compare_start(&mut self, topic: u64, start: u64) {
        let before = self.acknowledged.starts.insert(topic, start).unwrap_or(0);
        assert!(
            start >= before,
            "{}: topic {topic} began at {before}, now at {start}",
            self.seed()
        );
    }

    /// What was acknowledged is there; and at most the one thing that was under way.
    fn compare(&mut self, groups: u64, schemas: u64, topics: u64) {
        let known = self.acknowledged.clone();
        let found = [groups, schemas, topics];
        let answered = [known.groups, known.schemas, known.topics];
        for (found, answered) in found.into_iter().zip(answered) {
            assert!(
                found == answered || found == answered + 1,
                "{}: groups, schemas, topics: {answered} were acknowledged, {found} found; of all: {known:?}, \
                 {groups} {schemas} {topics}",
                self.seed(),
            );
        }
        let end = self.load.ends(groups).get(&1).copied().unwrap_or(0);
        assert!(
            known.seen_end <= end,
            "{}: a reader had seen topic 1 up to {}, it ends at {end}",
            self.seed(),
            known.seen_end
        );
        self.acknowledged = Acknowledged {
            groups,
            schemas,
            topics,
            ..known
        };
    }

    fn seed(&self) -> String {
        format!("seed {}, {:?}", self.load.seed, self.acknowledged)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.errors.path().join("errors")).unwrap_or_default()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            let _may_have_ended = child.kill();
            let _already_waited = child.wait();
        }
    }
}
