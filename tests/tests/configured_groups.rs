//! A server as it is run: a configuration file with a consumer group, a database, and clients that are set up by the very
//! lines that `headwater group clients` prints.

use std::{fs, path::Path, process::Command, time::Duration};

use headwater_tests::harness::{
    Configured, Coordinator, Headwater, KafkaTools, Library, Member, Options, Postgres, Process,
    Subscription, Version, binary, clock, login::Sasl, port, repository,
};
use serde_json::Value;
use tempfile::TempDir;

/// A client has this much for anything, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(90);

const PASSWORD: &str = "Orders-2024";
const GROUP: &str = "orders";
const USER: &str = "team-orders";

struct World {
    postgres: Postgres,
    headwater: Headwater,
    sasl_bootstrap: String,
    topic: String,
    rows: i64,
    data: TempDir,
}

impl World {
    fn start() -> Self {
        let postgres = Postgres::start(Version::V15);
        postgres.execute("CREATE TABLE items (id int PRIMARY KEY)");
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let secret = data.path().join("secret");
        fs::write(&secret, format!("{PASSWORD}\n")).expect("it is ours");
        let mut options = Options::of(&postgres, &data.path().join("data"));
        let sasl_bootstrap = format!("127.0.0.1:{}", port::free());
        options.configured = Some(Configured {
            listeners: format!(
                "[[kafka.listener]]\nlisten = {sasl_bootstrap:?}\nprotocol = \"SASL_PLAINTEXT\""
            ),
            instance: format!(
                "[[instance.group]]\nname = \"Order sync\"\nid = \"{GROUP}\"\naccount = \"team\"\n\
                 password = {{ file = {secret:?} }}"
            ),
            ..Configured::default()
        });
        let headwater = Headwater::start(&options);
        let topic = headwater.topic("items");
        Self {
            postgres,
            headwater,
            sasl_bootstrap,
            topic,
            rows: 0,
            data,
        }
    }

    /// Makes `count` records; the offset of the last.
    fn records(&mut self, count: i64) -> i64 {
        let (first, end) = (self.rows, self.rows + count);
        let last = end - 1;
        self.postgres.execute(&format!(
            "INSERT INTO items SELECT generate_series({first}, {last})"
        ));
        self.rows = end;
        last
    }

    fn member(&self) -> Member {
        Library::Rdkafka.member(Subscription {
            bootstrap: &self.sasl_bootstrap,
            group: GROUP,
            topic: &self.topic,
            session_ms: 10_000,
            login: Some(&Sasl {
                mechanism: "SCRAM-SHA-512",
                user: USER.to_owned(),
                password: PASSWORD.to_owned(),
            }),
        })
    }

    fn wait_committed(&self, offset: i64) {
        let bootstrap = &self.headwater.bootstrap();
        let group = GROUP;
        Coordinator { bootstrap, group }.wait_committed(&self.topic, offset, LIMIT);
    }

    /// `headwater group ARGUMENTS`; what it prints.
    fn group(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary::headwater());
        let data = self.data.path().join("data");
        command.arg("group").args(arguments).arg("--data").arg(data);
        let output = command.output().expect("headwater can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("it prints text")
    }

    /// The lines for one client, with the password in its place.
    fn printed(&self, client: &str) -> String {
        let answer = self.group(&["clients", GROUP, "--lang", client, "--format", "json"]);
        let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
        let settings = answer["settings"].as_array().expect("there are settings");
        let of_client = settings.iter().find(|one| one["client"] == client);
        let text = of_client.and_then(|one| one["text"].as_str());
        let text = text.expect("settings of this client");
        assert!(text.contains("<password>"), "{text}");
        text.replace("<password>", PASSWORD)
    }

    /// Moves the group to the start, once nobody is in it.
    fn rewind(&self) {
        self.group(&["seek", GROUP, "--to", "start", "--disconnect", "--yes"]);
    }
}

#[test]
fn a_group_of_the_file_reads_on_over_kill_9_of_broker_and_client_without_gap_or_repetition() {
    let mut world = World::start();
    let mut got = Vec::new();
    let first = world.records(3);
    let member = world.member();
    member.wait_for(first, LIMIT);
    world.wait_committed(first + 1);
    // The broker goes while the member stays.
    world.headwater.kill();
    world.records(3);
    world.headwater.start_again();
    let last = world.records(3);
    member.wait_for(last, LIMIT);
    world.wait_committed(last + 1);
    // Both go, the member first; the next one waits until the session of the dead one has ended.
    got.extend(member.kill());
    world.headwater.kill();
    world.headwater.start_again();
    let last = world.records(3);
    let member = world.member();
    member.wait_for(last, LIMIT);
    got.extend(member.stop());
    assert_eq!(got, (0..=last).collect::<Vec<_>>());

    let shown = world.group(&["show", GROUP, "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown).expect("it is JSON");
    assert_eq!(shown["topics"][0]["state"], "good", "{shown}");
    assert_eq!(shown["lag_records"], 0, "{shown}");
}

/// Waits until the program prints `wanted`; it may end by itself meanwhile.
fn wait_for_output(what: &str, command: Command, directory: &Path, wanted: &str) {
    let mut process = Process::spawn(what, command, &directory.join(what));
    let ended = clock::poll(LIMIT, || {
        let found = process.log().contains(wanted);
        (found || process.ended().is_some()).then_some(())
    });
    let said = process.log();
    assert!(ended.is_some() && said.contains(wanted), "{what}: {said}");
    process.kill();
}

#[test]
fn what_group_clients_prints_for_kcat_java_python_and_kafkajs_works_as_it_stands() {
    let mut world = World::start();
    world.records(3);
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let directory = directory.path();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).expect("it is ours");
        path
    };
    // The last record.
    let wanted = "\"id\":2";

    let mut kcat = Command::new("sh");
    // Written at once, which it does not do into a file by itself.
    kcat.args([
        "-c",
        &world.printed("kcat").replace("kcat ", "exec kcat -u "),
    ]);
    wait_for_output("kcat", kcat, directory, wanted);

    world.rewind();
    let more = "\nwhile True:\n    message = consumer.poll(1.0)\n    if message is not None:\n        \
                print(message.error() or message.value().decode(), flush=True)\n";
    let script = write("consumer.py", world.printed("python") + more);
    let mut python = Command::new(repository().join(".local/venv/bin/python"));
    python.arg(script);
    wait_for_output("python", python, directory, wanted);

    world.rewind();
    let script = write("consumer.js", world.printed("kafkajs"));
    let mut node = Command::new("node");
    node.arg(script)
        .env("NODE_PATH", repository().join(".local/node/node_modules"));
    wait_for_output("kafkajs", node, directory, wanted);

    world.rewind();
    let properties = write("client.properties", world.printed("java"));
    let properties = properties.to_str().expect("it is text");
    let read = ["--topic", &world.topic, "--max-messages", "3"];
    let read = [&["--command-config", properties], &read[..]].concat();
    let said = KafkaTools::new(&world.sasl_bootstrap).console_consumer(&read);
    assert!(said.contains(wanted), "{said}");
}
