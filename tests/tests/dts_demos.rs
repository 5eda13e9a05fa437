//! The other consumers of Alibaba Cloud DTS against a broker with logins and a real PostgreSQL: what its demos and
//! flink-dts-connector do, each with the library that it uses.

use headwater_tests::harness::{
    DtsClient, DtsLogin, Member, Mode, clock,
    dts_world::{DtsWorld, GROUPS, LIMIT, LONG_AGO, wait_for_row},
};
use serde_json::Value;

/// The records that a client has shown, without what else it says.
fn records(client: &Member) -> Vec<Value> {
    let mut lines = client.lines();
    lines.retain(|line| line["offset"].is_i64());
    lines
}

/// All from `first` on, in order, each once.
fn check_from(lines: &[Value], first: i64) {
    let offsets: Vec<i64> = lines
        .iter()
        .filter_map(|line| line["offset"].as_i64())
        .collect();
    let last = *offsets.last().expect("it read");
    assert_eq!(offsets, (first..=last).collect::<Vec<_>>());
}

#[test]
fn the_java_demo_reads_all_drops_nothing_and_goes_on_from_its_file() {
    let mut world = DtsWorld::start();
    let last = world.work();
    let directory = world.directory("assign");
    for mode in [Mode::Assign, Mode::Subscribe] {
        let directory = world.directory(&format!("{mode:?}"));
        let login = world.login(GROUPS[0]);
        let client = DtsClient::JavaDemo.start(login, (mode, LONG_AGO), &directory, &[]);
        wait_for_row(&client, &last);
        let lines = client.lines();
        // Heartbeats, BEGIN and COMMIT are the shortest there are.
        assert!(lines.iter().any(|line| line["operation"] == "BEGIN"));
        assert!(lines.iter().all(|line| line["dropped"].is_null()));
        check_from(&records(&client), 0);
        client.stop();
    }
    assert_eq!(world.position(GROUPS[0]), None, "it never commits");

    let login = world.login(GROUPS[1]);
    let place = (Mode::Assign, LONG_AGO);
    let client = DtsClient::JavaDemo.start(login, place, &directory, &[]);
    let offset = wait_for_row(&client, &last);
    // A heartbeat behind it is read, so its file is of a later second than the first row's.
    client.wait_for(offset + 3, LIMIT);
    client.stop();
    let file = std::fs::read_to_string(directory.join("localCheckpointStore")).expect("its file");
    let (_, seconds) = file.split_once('@').expect("offset@seconds");
    let last = world.work();
    let login = world.login(GROUPS[1]);
    let client = DtsClient::JavaDemo.start(login, place, &directory, &[]);
    wait_for_row(&client, &last);
    let lines = records(&client);
    assert_eq!(lines[0]["at"].to_string(), seconds);
    assert!(lines[0]["offset"].as_i64() > Some(0));
    check_from(&lines, lines[0]["offset"].as_i64().expect("checked"));
}

#[test]
fn the_go_demo_reads_with_a_group_and_a_partition_consumer_on_one_client_and_commits() {
    if !DtsClient::GoDemo.is_installed() {
        println!("skipped: there is no Go here to build the Go demo with");
        return;
    }
    let mut world = DtsWorld::start();
    world.work();
    for (group, handshake) in [(GROUPS[0], "0"), (GROUPS[1], "1")] {
        let directory = world.directory("go");
        let start = |world: &DtsWorld| {
            let place = (Mode::Subscribe, LONG_AGO);
            let more = [("DTS_HANDSHAKE", handshake)];
            DtsClient::GoDemo.start(world.login(group), place, &directory, &more)
        };
        let client = start(&world);
        client.wait_assigned(LIMIT);
        let reading = clock::poll(LIMIT, || {
            let lines = client.lines();
            lines.iter().find_map(|line| line["reading"].as_i64())
        });
        reading.expect("the partition consumer is there");
        let last = world.work();
        let offset = wait_for_row(&client, &last);
        let by = |way: &str| {
            let mut lines = records(&client);
            lines.retain(|line| line["by"] == way);
            lines
        };
        let both = clock::poll(LIMIT, || {
            let has = |way| by(way).iter().any(|line| line["offset"] == offset);
            (has("group") && has("partition")).then_some(())
        });
        both.unwrap_or_else(|| panic!("{}", client.said()));
        check_from(&by("group"), 0);
        let partition = by("partition");
        check_from(&partition, partition[0]["offset"].as_i64().expect("one"));
        assert!(client.errors().is_empty(), "{:?}", client.errors());
        // Behind the last record, with empty metadata, by OffsetCommit version 1.
        let position = world.wait_committed(group, offset + 1);
        assert_eq!(position.metadata, "");
        client.kill();

        // It never leaves its group: the partition is free when the session of 10 s is over.
        let client = start(&world);
        let last = world.work();
        wait_for_row(&client, &last);
        let first = clock::poll(LIMIT, || {
            let mut lines = records(&client).into_iter();
            lines.find(|line| line["by"] == "group")
        });
        let first = first.unwrap_or_else(|| panic!("{}", client.said()));
        assert!(first["offset"].as_i64() > Some(offset), "{first}");
        client.kill();
    }
}

#[test]
fn the_python_demo_logs_in_with_raw_tokens_and_reads_from_its_second() {
    let mut world = DtsWorld::start();
    let last = world.work();
    let directory = world.directory("python");
    let client = DtsClient::PythonDemo.start(
        world.login(GROUPS[0]),
        (Mode::Assign, LONG_AGO),
        &directory,
        &[],
    );
    let is_last = |line: &Value| line["afterImages"][0][1]["value"] == *last;
    let found = clock::poll(LIMIT, || client.lines().iter().any(is_last).then_some(()));
    assert!(found.is_some(), "{}", client.said());
    check_from(&records(&client), 0);
}

#[test]
fn a_wrong_password_ends_the_demos_and_each_is_told() {
    let world = DtsWorld::start();
    let directory = world.directory("client");
    let login = DtsLogin {
        password: "Checkpoint-25",
        ..world.login(GROUPS[0])
    };
    for (client, word) in [
        (DtsClient::JavaDemo, "AuthenticationException"),
        (DtsClient::GoDemo, "error"),
        (DtsClient::Flink, "AuthenticationException"),
        (DtsClient::PythonDemo, "NoBrokersAvailable"),
    ] {
        if !client.is_installed() {
            println!("skipped: there is no Go here to build the Go demo with");
            continue;
        }
        let place = (Mode::Assign, LONG_AGO);
        let said = client.start(login, place, &directory, &[]).failure(LIMIT);
        assert!(said.contains(word), "{client:?}: {said}");
    }
}

#[test]
fn flinks_connector_starts_by_seconds_commits_outside_a_group_and_restores_without_loss() {
    let mut world = DtsWorld::start();
    let last = world.work();
    let directory = world.directory("flink");
    let start = |world: &DtsWorld, place: &str| {
        let login = world.login(GROUPS[0]);
        DtsClient::Flink.start(login, (Mode::Assign, place), &directory, &[])
    };
    let client = start(&world, LONG_AGO);
    let offset = wait_for_row(&client, &last);
    let lines = records(&client);
    check_from(&lines, 0);
    let assigned: Vec<i64> = client
        .lines()
        .iter()
        .filter_map(|line| line["assigned"].as_i64())
        .collect();
    assert_eq!(assigned, [1, 0, 0], "one subtask has the partition");
    let position = world.wait_committed(GROUPS[0], offset + 1);
    assert_eq!(position.metadata, "");
    let refused = client
        .lines()
        .into_iter()
        .find(|line| !line["refused"].is_null());
    assert_eq!(refused, None);
    let lines = records(&client);
    client.kill();

    // The state of Flink's checkpoint: a record that was processed, and its second.
    let processed = lines
        .iter()
        .rfind(|line| line["offset"].as_i64() <= Some(offset));
    let seconds = &processed.expect("it read")["at"];
    let last = world.work();
    let client = start(&world, &format!("{offset}@{seconds}"));
    wait_for_row(&client, &last);
    let lines = records(&client);
    let first = lines[0]["offset"].as_i64().expect("an offset");
    assert!(0 < first && first <= offset + 1, "{first} after {offset}");
    check_from(&lines, first);
}

/// A time without a record behind it, not later than now: the log's end and never nothing, at which it would fail.
#[test]
fn flinks_connector_restores_a_second_behind_the_newest_record() {
    let mut world = DtsWorld::start();
    world.work();
    // Whatever comes by itself, a heartbeat, is a second older.
    let now = world
        .postgres
        .value("SELECT extract(epoch FROM clock_timestamp())::bigint FROM pg_sleep(1.1)");
    let directory = world.directory("flink");
    let login = world.login(GROUPS[0]);
    let place = format!("1@{now}");
    let client = DtsClient::Flink.start(login, (Mode::Assign, &place), &directory, &[]);
    let last = world.work();
    wait_for_row(&client, &last);
    assert!(client.errors().is_empty(), "{:?}", client.errors());
}
