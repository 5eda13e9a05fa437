//! Consumer groups with the client libraries that people use beside librdkafka and the newest Java, and with Kafka's own
//! tools: all at once against one broker, each in groups of its own. What was seen of each stands in `docs/clients.md`.

#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "what the tests share outside of them says what was skipped, how long it took, and what was wrong"
)]

use std::{path::Path, thread, time::Duration};

use headwater_storage::{
    CatalogChange, DataDirectory, Group, GroupMode, GroupNumber, Instance, InstanceNumber,
    SourceKind, StoreOptions,
};
use headwater_tests::harness::{
    Configured, Coordinator, Headwater, KafkaTools, Library, Member, Options, Postgres,
    Subscription, Version, clock, login::Sasl, port, postgres::DATABASE,
};
use tempfile::TempDir;

/// The shortest session that is allowed, so that failover by silence is quick.
const SESSION_MS: u32 = 6_000;

/// So long that a takeover which had to wait for its end would be seen.
const LONG_SESSION_MS: u32 = 90_000;

/// A takeover takes no longer, on a machine however loaded. The exact times are held in the coordinator's own tests.
const TAKEOVER_MAX: Duration = Duration::from_secs(45);

/// A client has this much for anything, with a dozen others on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

const ACCOUNT: &str = "team";
const PASSWORD: &str = "Orders-2024";

/// The libraries that can run here.
fn installed() -> Vec<Library> {
    let (here, missing): (Vec<_>, Vec<_>) =
        Library::ALL.into_iter().partition(|one| one.is_installed());
    for library in missing {
        println!("skipped {library:?}: scripts/install found nothing to build it with");
    }
    here
}

struct World {
    postgres: Postgres,
    headwater: Headwater,
    sasl_bootstrap: String,
    topic: String,
    rows: i64,
    _data: TempDir,
}

impl World {
    /// A listener without login and one with; a group `login-LIBRARY` of an account for each library.
    fn start() -> Self {
        let postgres = Postgres::start(Version::V15);
        postgres.execute("CREATE TABLE items (id int PRIMARY KEY)");
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let directory = data.path().join("data");
        make_groups(&directory);
        let mut options = Options::of(&postgres, &directory);
        let sasl_bootstrap = format!("127.0.0.1:{}", port::free());
        options.configured = Some(Configured {
            listeners: format!(
                "[[kafka.listener]]\nlisten = {sasl_bootstrap:?}\nprotocol = \"SASL_PLAINTEXT\""
            ),
            ..Configured::default()
        });
        let headwater = start(&options);
        let topic = headwater.topic("items");
        Self {
            postgres,
            headwater,
            sasl_bootstrap,
            topic,
            rows: 0,
            _data: data,
        }
    }

    /// Makes `count` records; the offset of the last.
    fn records(&mut self, count: i64) -> i64 {
        let (first, end) = (self.rows, self.rows + count);
        self.postgres.execute(&format!(
            "INSERT INTO items SELECT generate_series({first}, {})",
            end - 1
        ));
        self.rows = end;
        end - 1
    }

    fn member(&self, library: Library, group: &str) -> Member {
        self.member_for(library, group, SESSION_MS)
    }

    fn member_for(&self, library: Library, group: &str, session_ms: u32) -> Member {
        library.member(Subscription {
            bootstrap: &self.headwater.bootstrap(),
            group,
            topic: &self.topic,
            session_ms,
            login: None,
        })
    }

    fn member_by(&self, library: Library, group: &str, login: &Sasl) -> Member {
        library.member(Subscription {
            bootstrap: &self.sasl_bootstrap,
            group,
            topic: &self.topic,
            session_ms: SESSION_MS,
            login: Some(login),
        })
    }

    fn wait_committed(&self, group: &str, offset: i64) {
        let bootstrap = &self.headwater.bootstrap();
        Coordinator { bootstrap, group }.wait_committed(&self.topic, offset, LIMIT);
    }

    fn wait_members(&self, group: &str, count: usize) {
        let bootstrap = &self.headwater.bootstrap();
        Coordinator { bootstrap, group }.wait_members(count, LIMIT);
    }
}

/// Starts it, again if a process that another test was just starting still held our lock on the data directory.
fn start(options: &Options) -> Headwater {
    let mut headwater = Headwater::spawn(options);
    let _told_below = clock::poll(LIMIT, || {
        if headwater.ended().is_some() && headwater.log().contains("in use by another") {
            headwater.spawn_again();
        }
        headwater.is_running().then_some(())
    });
    headwater.wait_running();
    headwater
}

/// A data directory as an operator would have made it.
fn make_groups(path: &Path) {
    let directory = DataDirectory::open(path, &StoreOptions::default()).expect("it is new");
    let instance = Instance {
        number: InstanceNumber(1),
        name: DATABASE.to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    };
    let verifiers = headwater::stored_verifiers(PASSWORD).expect("there is randomness");
    let group = |(number, library): (u32, Library)| {
        CatalogChange::Group(Group {
            number: GroupNumber(number),
            id: login_group(library),
            name: login_group(library),
            instance: InstanceNumber(1),
            account: ACCOUNT.to_owned(),
            verifiers: verifiers.clone(),
            mode: GroupMode::Exclusive,
            created_ms: 0,
            created_group: 0,
            deleted: false,
        })
    };
    let mut changes = vec![CatalogChange::Instance(instance)];
    changes.extend((1..).zip(installed()).map(group));
    directory.change(changes).expect("they may be");
}

fn login_group(library: Library) -> String {
    format!("login-{library:?}")
}

fn login(library: Library, mechanism: &'static str, password: &str) -> Sasl {
    Sasl {
        mechanism,
        user: format!("{ACCOUNT}-{}", login_group(library)),
        password: password.to_owned(),
    }
}

/// Runs `check` for each library at the same time.
fn each(libraries: &[Library], check: impl Fn(Library) + Sync) {
    thread::scope(|scope| {
        for library in libraries {
            let check = &check;
            scope.spawn(move || check(*library));
        }
    });
}

#[test]
fn each_client_commits_and_goes_on_behind_it_after_a_restart() {
    let mut world = World::start();
    let libraries = installed();
    let mut next = 0;
    for _ in 0..2 {
        let last = world.records(3);
        each(&libraries, |library| {
            let group = format!("resume-{library:?}");
            let member = world.member(library, &group);
            member.wait_for(last, LIMIT);
            world.wait_committed(&group, last + 1);
            let got = member.stop();
            assert_eq!(got, (next..=last).collect::<Vec<_>>(), "{library:?}");
            // It has left: nobody waits for its session to run out.
            world.wait_members(&group, 0);
        });
        next = last + 1;
    }
}

/// How an active one ends.
struct Takeover {
    what: &'static str,
    session_ms: u32,
    end: fn(Member) -> Vec<i64>,
}

impl Takeover {
    fn group(&self, library: Library) -> String {
        format!("{}-{library:?}", self.what)
    }

    /// Two members of a group for each library; the first is active, and has read and committed all records.
    fn pairs(&self, world: &mut World, libraries: &[Library]) -> Vec<(Library, Member, Member)> {
        let start = |world: &World, library| {
            world.member_for(library, &self.group(library), self.session_ms)
        };
        let last = world.records(1);
        let first: Vec<Member> = libraries.iter().map(|one| start(world, *one)).collect();
        let mut pairs = Vec::new();
        for (library, active) in libraries.iter().zip(first) {
            active.wait_for(last, LIMIT);
            pairs.push((*library, active, start(world, *library)));
        }
        for library in libraries {
            world.wait_members(&self.group(*library), 2);
        }
        let last = world.records(2);
        for (library, active, standby) in &pairs {
            active.wait_for(last, LIMIT);
            world.wait_committed(&self.group(*library), last + 1);
            let read = standby.offsets();
            assert!(read.is_empty(), "{library:?}: a standby reads {read:?}");
        }
        pairs
    }

    /// Ends each active one; each standby gets what comes next, all of it, once.
    fn happens(&self, world: &mut World, libraries: &[Library]) {
        let pairs = self.pairs(world, libraries);
        let began = clock::now();
        let ended = pairs.into_iter().map(|(library, active, standby)| {
            let got = (self.end)(active);
            (library, got, standby)
        });
        let ended: Vec<_> = ended.collect();
        let last = world.records(2);
        for (library, got, standby) in ended {
            assert_eq!(got.last(), Some(&(last - 2)), "{library:?}");
            standby.wait_for(last, LIMIT);
            let took = began.elapsed();
            println!(
                "{library:?}: at work {took:?} after the first {}",
                self.what
            );
            assert!(took < TAKEOVER_MAX, "{library:?} took {took:?}");
            assert_eq!(standby.stop(), [last - 1, last], "{library:?}");
        }
    }
}

#[test]
fn a_standby_of_each_client_takes_over_when_the_active_one_leaves_or_is_killed() {
    let mut world = World::start();
    let all = installed();
    let leave = Takeover {
        what: "leave",
        session_ms: LONG_SESSION_MS,
        end: Member::stop,
    };
    leave.happens(&mut world, &all);
    let killed: Vec<_> = all
        .into_iter()
        .filter(|library| !matches!(library, Library::Aiokafka | Library::Java0))
        .collect();
    let kill = Takeover {
        what: "kill",
        session_ms: SESSION_MS,
        end: Member::kill,
    };
    kill.happens(&mut world, &killed);
}

#[test]
fn each_client_logs_in_and_stops_with_an_error_of_its_own_when_it_may_not() {
    let mut world = World::start();
    let last = world.records(3);
    each(&installed(), |library| {
        let group = login_group(library);
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let login = login(library, mechanism, PASSWORD);
            let member = world.member_by(library, &group, &login);
            if mechanism == "PLAIN" {
                member.wait_for(last, LIMIT);
            } else {
                // What it has committed under the first mechanism it does not get again.
                world.wait_members(&group, 1);
            }
            world.wait_committed(&group, last + 1);
            member.stop();
        }
        stops(&world, library);
    });
    let log = world.headwater.log();
    assert!(log.contains("wrong password"), "{log}");
}

/// With a wrong password, and with the password of another group.
fn stops(world: &World, library: Library) {
    let wrong = login(library, "SCRAM-SHA-256", "Wrong-2024");
    let mut member = world.member_by(library, &login_group(library), &wrong);
    if library == Library::Java0 {
        // It knows no answer to a failed login but a closed connection (KIP-152 came with 1.0), and tries again.
        thread::sleep(Duration::from_secs(3));
        assert!(member.runs() && member.offsets().is_empty());
    } else {
        let said = member.failure(LIMIT);
        assert!(says_wrong_password(&said), "{library:?}: {said}");
    }
    let own = login(library, "SCRAM-SHA-256", PASSWORD);
    let member = world.member_by(library, "login-of-others", &own);
    let said = member.failure(LIMIT);
    assert!(says_wrong_group(library, &said), "{library:?}: {said}");
}

fn says_wrong_password(said: &str) -> bool {
    said.contains("wrong user name or password")
}

fn says_wrong_group(library: Library, said: &str) -> bool {
    said.contains(match library {
        Library::KafkaPython | Library::Aiokafka => "GroupAuthorizationFailedError",
        Library::KafkaJs => "Not authorized to access group",
        Library::Java2 | Library::Java0 => "GroupAuthorizationException",
        Library::Go => "GROUP_AUTHORIZATION_FAILED",
        Library::Rdkafka => "Group authorization failed",
    })
}

#[test]
fn kafkas_own_tools_list_describe_reset_and_delete() {
    let mut world = World::start();
    let last = world.records(5);
    let topic = world.topic.clone();
    let tools = KafkaTools::new(&world.headwater.bootstrap());
    assert!(tools.topics(&["--list"]).lines().any(|line| line == topic));
    let said = tools.topics(&["--describe", "--topic", &topic]);
    assert!(said.contains("PartitionCount: 1"), "{said}");

    let read = ["--topic", &topic, "--group", "tools", "--from-beginning"];
    let said = tools.console_consumer(&[&read[..], &["--max-messages", "5"]].concat());
    assert!(said.contains("Processed a total of 5 messages"), "{said}");
    world.wait_committed("tools", last + 1);

    let said = tools.consumer_groups(&["--list"]);
    assert!(said.lines().any(|line| line == "tools"), "{said}");
    assert_eq!(described(&tools, &topic), ["5", "5", "0"]);
    let reset = ["--reset-offsets", "--group", "tools", "--topic", &topic];
    let said = tools.consumer_groups(&[&reset[..], &["--to-offset", "2", "--dry-run"]].concat());
    assert!(said.contains(&topic), "{said}");
    assert_eq!(described(&tools, &topic), ["5", "5", "0"]);
    let _said = tools.consumer_groups(&[&reset[..], &["--to-offset", "2", "--execute"]].concat());
    assert_eq!(described(&tools, &topic), ["2", "5", "3"]);

    refuses_changed_settings(&tools, &topic);

    // Not under a member's feet.
    let member = world.member(Library::KafkaPython, "tools");
    member.wait_for(last, LIMIT);
    world.wait_committed("tools", last + 1);
    let standby = world.member(Library::KafkaPython, "tools");
    world.wait_members("tools", 2);
    shows_members(&tools, &topic);
    assert!(standby.stop().is_empty(), "it stood by");
    let said = tools.consumer_groups(&[&reset[..], &["--to-earliest", "--execute"]].concat());
    assert!(said.contains("only be reset if the group"), "{said}");
    let said = tools.consumer_groups(&["--delete", "--group", "tools"]);
    assert!(said.contains("GroupNotEmptyException"), "{said}");
    world.wait_committed("tools", last + 1);
    assert_eq!(member.stop(), [2, 3, 4]);

    let said = tools.consumer_groups(&["--delete", "--group", "tools"]);
    assert!(said.contains("was successful"), "{said}");
    let said = tools.consumer_groups(&["--list"]);
    assert!(!said.lines().any(|line| line == "tools"), "{said}");
}

/// Settings are read, and changed in the configuration file only.
fn refuses_changed_settings(tools: &KafkaTools, topic: &str) {
    let of_topic = ["--entity-type", "topics", "--entity-name", topic];
    let all = tools.configs(&[&["--describe", "--all"][..], &of_topic].concat());
    assert!(all.contains("retention.bytes="), "{all}");
    let alter = ["--alter", "--add-config", "retention.ms=1000"];
    let said = tools.configs(&[&alter[..], &of_topic].concat());
    assert!(said.contains("PolicyViolationException"), "{said}");
    assert!(!said.contains("Completed updating"), "{said}");
    let after = tools.configs(&[&["--describe", "--all"][..], &of_topic].concat());
    assert_eq!(after, all);
}

/// The active one with all partitions, the standby with none.
fn shows_members(tools: &KafkaTools, topic: &str) {
    let describe = ["--describe", "--group", "tools", "--members", "--verbose"];
    let said = tools.consumer_groups(&describe);
    let members: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("tools "))
        .collect();
    assert_eq!(members.len(), 2, "{said}");
    let assigned = |line: &&&str| {
        line.contains(&format!("{topic}(0)")) || line.contains(&format!("{topic}:0"))
    };
    assert_eq!(members.iter().filter(assigned).count(), 1, "{said}");
    let counts: Vec<&str> = members
        .iter()
        .filter_map(|line| line.split_whitespace().nth(4))
        .collect();
    assert!(counts.contains(&"1") && counts.contains(&"0"), "{said}");
}

/// CURRENT-OFFSET, LOG-END-OFFSET, LAG.
fn described(tools: &KafkaTools, topic: &str) -> Vec<String> {
    let said = tools.consumer_groups(&["--describe", "--group", "tools"]);
    let line = said
        .lines()
        .find(|line| line.starts_with("tools") && line.contains(topic));
    let line = line.unwrap_or_else(|| panic!("{topic} is not described: {said}"));
    let words = line.split_whitespace().skip(3).take(3);
    words.map(str::to_owned).collect()
}
