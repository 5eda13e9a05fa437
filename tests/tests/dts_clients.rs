//! Consumers of Alibaba Cloud DTS, unmodified, against a broker with logins and a real PostgreSQL: the Java SDK in both
//! of its modes. What the other clients do is in `dts_demos`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpStream,
};

use headwater_tests::harness::{
    DtsClient, DtsLogin, Member, Mode, Position, clock,
    dts_world::{DtsWorld, GROUPS, LIMIT, LONG_AGO, Table, shown, wait_for_row},
};
use serde_json::Value;

/// A checkpoint behind everything.
const FAR_AHEAD: &str = "9000000000";

fn image(line: &Value, name: &str) -> Option<BTreeMap<String, String>> {
    let image = line[name].as_object()?;
    let values = image.iter().map(|(column, value)| {
        let text = value.as_str().map_or_else(|| "<null>".to_owned(), shown);
        (column.clone(), text)
    });
    Some(values.collect())
}

/// Offsets without a gap, ids that are offsets, transactions that are whole and do not nest.
fn check_order(lines: &[Value]) {
    let mut offsets = lines.iter().map(|line| line["offset"].as_i64());
    let mut next = offsets.next().flatten();
    let mut open = false;
    for line in lines {
        assert_eq!(line["offset"].as_i64(), next, "{line}");
        assert_eq!(line["id"], line["offset"]);
        next = next.map(|offset| offset + 1);
        match line["operation"].as_str() {
            Some("BEGIN") => assert!(!std::mem::replace(&mut open, true), "{line}"),
            Some("COMMIT") => assert!(std::mem::replace(&mut open, false), "{line}"),
            Some("HEARTBEAT") => assert!(!open, "{line}"),
            _ => assert!(open, "{line}"),
        }
    }
}

/// The table that the changes make; each old row is the one that the changes before had made.
fn replay(lines: &[Value]) -> Table {
    let mut table = Table::new();
    for line in lines {
        let (before, after) = (image(line, "before"), image(line, "after"));
        if let Some(before) = before {
            assert_eq!(table.remove(&before["id"]), Some(before), "{line}");
        }
        if let Some(after) = after {
            assert_eq!(line["object"], "shop.public.kinds");
            assert!(line["key"].as_str().is_some_and(|key| key.contains("id")));
            let unique = line["unique"].as_str().unwrap_or_default();
            assert!(unique.contains("uid") && unique.contains("name"), "{line}");
            assert_eq!(table.insert(after["id"].clone(), after), None, "{line}");
        }
    }
    table
}

/// What the client has shown up to `offset`.
fn up_to(client: &Member, offset: i64) -> Vec<Value> {
    let mut lines = client.lines();
    lines.retain(|line| line["offset"].as_i64().is_some_and(|at| at <= offset));
    lines
}

#[test]
fn the_sdk_reads_every_change_in_order_with_the_databases_own_values() {
    let mut world = DtsWorld::start();
    world.work();
    let directory = world.directory("client");
    let clients = [
        world.sdk(Mode::Assign, GROUPS[0], &directory),
        world.sdk(Mode::Subscribe, GROUPS[1], &directory),
        DtsClient::Sdk1.start(
            world.login(GROUPS[2]),
            (Mode::Subscribe, LONG_AGO),
            &directory,
            &[],
        ),
    ];
    let last = world.work();
    let table = world.table();
    for client in &clients {
        let offset = wait_for_row(client, &last);
        // Its COMMIT record, too.
        client.wait_for(offset + 1, LIMIT);
        let lines = up_to(client, offset + 1);
        assert_eq!(lines[0]["offset"], 0, "all from the log's start");
        check_order(&lines);
        assert_eq!(replay(&lines), table);
    }
    for group in GROUPS {
        let position = world.wait_committed(group, 1);
        // Of a record that it has read, as the bare number that the next start parses.
        let seconds: i64 = position.metadata.parse().expect("decimal seconds");
        assert!(seconds > 1_600_000_000, "{position:?}");
    }
}

/// All from the first on, in order, each once.
fn check_from(lines: &[Value]) {
    let offsets: Vec<i64> = lines
        .iter()
        .filter_map(|line| line["offset"].as_i64())
        .collect();
    let is_next = |pair: &[i64]| pair[1] == pair[0] + 1;
    assert!(offsets.windows(2).all(is_next), "{offsets:?}");
}

/// The first record that is not older than what the group committed: where every DTS client goes on.
fn resumes_at(records: &[Value], position: &Position) -> i64 {
    let seconds: i64 = position.metadata.parse().expect("decimal seconds");
    let found = records
        .iter()
        .find(|line| line["at"].as_i64() >= Some(seconds));
    found
        .and_then(|line| line["offset"].as_i64())
        .expect("the group committed what it read")
}

#[test]
fn the_sdk_goes_on_from_its_checkpoint_wherever_it_finds_it() {
    let mut world = DtsWorld::start();
    let store = world.data.path().join("store").display().to_string();
    let with_store: &[(&str, &str)] = &[("DTS_STORE", &store)];
    let directory = |world: &DtsWorld, name: &str| world.directory(name);
    // Its own file; the broker's metadata, of either mode; the application's store.
    for (group, mode, first, second, more) in [
        (GROUPS[0], Mode::Assign, "a", "a", &[][..]),
        (GROUPS[1], Mode::Assign, "b1", "b2", &[][..]),
        (GROUPS[1], Mode::Subscribe, "c1", "c2", &[][..]),
        (GROUPS[2], Mode::Assign, "d1", "d2", with_store),
    ] {
        let last = world.work();
        let start = |name: &str| {
            let place = directory(&world, name);
            DtsClient::Sdk2.start(world.login(group), (mode, LONG_AGO), &place, more)
        };
        let client = start(first);
        let offset = wait_for_row(&client, &last);
        world.wait_committed(group, offset + 2);
        let records = client.lines();
        client.stop();
        let position = world.position(group).expect("it committed");
        let expected = resumes_at(&records, &position);
        assert!(expected > 0, "a start at the beginning would not be seen");

        let last = world.work();
        let client = DtsClient::Sdk2.start(
            world.login(group),
            (mode, LONG_AGO),
            &directory(&world, second),
            more,
        );
        let offset = wait_for_row(&client, &last);
        let lines = up_to(&client, offset);
        assert_eq!(
            lines[0]["offset"], expected,
            "{group} {mode:?} {position:?}"
        );
        check_order(&up_to(&client, offset + 1));
        client.stop();
    }
}

/// Checkpoints that the SDK did not write itself. What hand-written clients commit by DTS's convention, and what
/// librdkafka's Python binding makes of a number, has more in it than the number that the SDK parses. A time that is yet
/// to come is nowhere: the SDK begins at the log's start.
#[test]
fn the_sdk_starts_from_what_others_committed_and_from_a_time_to_come() {
    let mut world = DtsWorld::start();
    let last = world.work();
    let place = (Mode::Assign, FAR_AHEAD);
    let directory = world.directory("a");
    let client = DtsClient::Sdk2.start(world.login(GROUPS[0]), place, &directory, &[]);
    let offset = wait_for_row(&client, &last);
    assert_eq!(client.offsets()[0], 0);
    // A second that is not the first one's.
    let later = clock::poll(LIMIT, || {
        let lines = client.lines();
        let line = lines
            .iter()
            .find(|line| line["at"].as_i64() > lines[0]["at"].as_i64())?;
        line["at"].as_i64()
    });
    let seconds = later.expect("heartbeats come");
    let records = client.lines();
    client.stop();

    let clients = [(GROUPS[1], "|x"), (GROUPS[2], "\0")].map(|(group, behind)| {
        let metadata = format!("{seconds}{behind}");
        world.commit(group, &Position { offset, metadata });
        world.sdk(Mode::Subscribe, group, &world.directory(group))
    });
    let expected = resumes_at(
        &records,
        &Position {
            offset,
            metadata: seconds.to_string(),
        },
    );
    let last = world.work();
    for client in &clients {
        let found = wait_for_row(client, &last);
        let lines = up_to(client, found);
        assert_eq!(lines[0]["offset"], expected);
        check_from(&lines);
        let said = sdk_log(client);
        assert!(
            !said.contains("recover time"),
            "no retry is used up:\n{said}"
        );
    }
}

/// What it has said beside the records.
fn sdk_log(client: &Member) -> String {
    let said = client.said();
    let lines = said.lines().filter(|line| !line.starts_with('{'));
    lines.collect::<Vec<_>>().join("\n")
}

/// A table without a key, one with dots in its names, one whose key was renamed: the SDK ends at a column of a key that it
/// does not find. And a row of twenty times what it asks for in one fetch.
#[test]
fn unusual_tables_and_a_row_of_20_mb_reach_the_sdk() {
    let mut world = DtsWorld::start();
    let directory = world.directory("client");
    let client = world.sdk(Mode::Subscribe, GROUPS[0], &directory);
    world.postgres.execute(
        "INSERT INTO plain VALUES (1, 'NaN'), (NULL, '-Infinity'); UPDATE plain SET ratio = 0.1 WHERE a = 1; \
         DELETE FROM plain WHERE a IS NULL; INSERT INTO \"odd.name\".\"t.x\" VALUES (7, 'seven'); \
         UPDATE \"odd.name\".\"t.x\" SET \"c.d\" = 8;",
    );
    world.postgres.execute(
        "ALTER TABLE kinds RENAME COLUMN id TO ident; \
         INSERT INTO kinds (ident, body) VALUES (-1, repeat('0123456789', 2000000));",
    );
    let large = clock::poll(LIMIT, || {
        let mut lines = client.lines().into_iter();
        lines.find(|line| line["after"]["ident"] == "-1")
    });
    let large = large.unwrap_or_else(|| panic!("{}", sdk_log(&client)));
    assert!(
        large["key"]
            .as_str()
            .is_some_and(|key| key.contains("ident"))
    );
    let body = large["after"]["body"].as_str();
    assert!(body == Some(&"0123456789".repeat(2_000_000)), "not whole");

    world
        .postgres
        .execute("ALTER TABLE kinds RENAME COLUMN ident TO id");
    let last = world.work();
    let offset = wait_for_row(&client, &last);
    let lines = up_to(&client, offset + 1);
    check_order(&lines);
    check_unusual(&lines);
    world.wait_committed(GROUPS[0], offset);
    let said = sdk_log(&client);
    assert!(
        !said.contains("recover time"),
        "no retry is used up:\n{said}"
    );
}

fn check_unusual(lines: &[Value]) {
    let of = |object: &str| -> Vec<&Value> {
        let lines = lines.iter();
        lines.filter(|line| line["object"] == object).collect()
    };
    let plain = of("shop.public.plain");
    let shown = |line: &Value| {
        let image = |name: &str| Some(line[name].get("ratio")?.as_str()?.to_owned());
        (image("before"), image("after"))
    };
    let text = |text: &str| Some(text.to_owned());
    let ratios: Vec<_> = plain.into_iter().map(shown).collect();
    assert_eq!(
        ratios,
        [
            (None, text("NaN")),
            (None, text("-Infinity")),
            (text("NaN"), text("0.1")),
            (text("-Infinity"), None),
        ]
    );
    let dotted = of("shop.odd\\u002Ename.t\\u002Ex");
    let ids: Vec<_> = dotted
        .into_iter()
        .map(|line| (&line["before"]["c.d"], &line["after"]["c.d"]))
        .collect();
    let (seven, eight) = (Value::from("7"), Value::from("8"));
    assert_eq!(ids, [(&Value::Null, &seven), (&seven, &eight)]);
}

#[test]
fn a_standby_of_the_sdk_takes_over_without_a_gap_when_the_active_one_leaves_or_is_killed() {
    let mut world = DtsWorld::start();
    let group = GROUPS[0];
    let ends: [fn(Member) -> Vec<i64>; 2] = [Member::stop, Member::kill];
    for (round, end) in ends.into_iter().enumerate() {
        let directory = world.directory(&format!("client-{round}"));
        let active = world.sdk(Mode::Subscribe, group, &directory);
        let last = world.work();
        let offset = wait_for_row(&active, &last);
        let standby = world.sdk(Mode::Subscribe, group, &directory);
        world.wait_members(group, 2);
        let position = world.wait_committed(group, offset);
        assert_eq!(
            standby.offsets(),
            Vec::<i64>::new(),
            "a standby reads nothing"
        );
        end(active);
        let last = world.work();
        let offset = wait_for_row(&standby, &last);
        let lines = up_to(&standby, offset + 1);
        check_order(&lines);
        // It may read the committed second again, and misses nothing behind it.
        assert!(lines[0]["offset"].as_i64() <= Some(position.offset + 1));
        let sent = standby.said();
        assert!(
            !sent.contains("recover time"),
            "no retry is used up:\n{sent}"
        );
        standby.stop();
    }
}

#[test]
fn two_clients_of_a_group_read_once_and_one_that_assigns_beside_them_reads_all() {
    let mut world = DtsWorld::start();
    let group = GROUPS[0];
    let (a, b) = (world.directory("a"), world.directory("b"));
    let members = [
        world.sdk(Mode::Subscribe, group, &a),
        world.sdk(Mode::Subscribe, group, &a),
    ];
    world.wait_members(group, 2);
    let assigned = world.sdk(Mode::Assign, group, &b);
    let last = world.work();
    let offset = wait_for_row(&assigned, &last);
    check_order(&up_to(&assigned, offset + 1));
    let owner = clock::poll(LIMIT, || {
        members
            .iter()
            .find(|member| member.offsets().contains(&offset))
    });
    let owner = owner.expect("one of the two reads");
    check_order(&up_to(owner, offset + 1));
    world.wait_committed(group, offset);
    let reading = members.iter().filter(|member| !member.offsets().is_empty());
    assert_eq!(reading.count(), 1, "the other stands by");
    // The position is the members'. The SDK logs that its own commit was refused, and goes on.
    let last = world.work();
    wait_for_row(&assigned, &last);
    let refused = clock::poll(LIMIT, || {
        let said = assigned.said();
        said.contains("Commit offset for group").then_some(said)
    });
    let said = refused.expect("a commit without membership is refused");
    assert!(!said.contains("recover time"), "{said}");
}

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_the_sdk_nothing() {
    let mut world = DtsWorld::start();
    let directory = world.directory("client");
    let clients = [
        world.sdk(Mode::Assign, GROUPS[0], &directory),
        world.sdk(Mode::Subscribe, GROUPS[1], &directory),
    ];
    let last = world.work();
    for client in &clients {
        wait_for_row(client, &last);
    }
    world.headwater.kill();
    let last = world.work();
    world.headwater.start_again();
    for client in &clients {
        let offset = wait_for_row(client, &last);
        client.wait_for(offset + 1, LIMIT);
        // Each record once or, where it had to seek, again; none is skipped.
        let mut offsets = client.offsets();
        offsets.sort_unstable();
        offsets.dedup();
        let expected: Vec<i64> = (0..=*offsets.last().expect("it read")).collect();
        assert_eq!(offsets, expected, "{}", client.said());
        assert_eq!(clusters(client).len(), 1, "{:?}", clusters(client));
    }
}

/// A new directory has a new cluster id and begins at offset 0: the SDK meets both, and goes on by its second.
#[test]
fn the_sdk_finds_its_place_in_another_data_directory() {
    let mut world = DtsWorld::start();
    let directory = world.directory("client");
    let client = world.sdk(Mode::Subscribe, GROUPS[0], &directory);
    let last = world.work();
    wait_for_row(&client, &last);
    assert!(world.headwater.stop().success());
    fs::remove_dir_all(world.data.path().join("data")).expect("it is ours");
    world.headwater.start_again();
    let last = world.work();
    wait_for_row(&client, &last);
    assert_eq!(clusters(&client).len(), 2, "{:?}", clusters(&client));
}

/// The cluster ids that the SDK has met. It begins anew, by time, where another one comes.
fn clusters(client: &Member) -> BTreeSet<String> {
    let said = client.said();
    let ids = said.lines().filter_map(|line| {
        let (_, id) = line.split_once("Cluster updated to ")?;
        Some(id.trim().to_owned())
    });
    ids.collect()
}

#[test]
fn a_wrong_password_and_a_foreign_group_are_named_by_the_sdk() {
    let mut world = DtsWorld::start();
    world.work();
    let directory = world.directory("client");
    let login = world.login(GROUPS[0]);
    for wrong in [
        DtsLogin {
            password: "Checkpoint-25",
            ..login
        },
        DtsLogin {
            group: "dtsae9",
            ..login
        },
        DtsLogin {
            account: "another",
            ..login
        },
    ] {
        let client = DtsClient::Sdk2.start(wrong, (Mode::Subscribe, LONG_AGO), &directory, &[]);
        let said = clock::poll(LIMIT, || {
            let said = client.said();
            said.contains("SaslAuthenticationException").then_some(said)
        });
        let said = said.unwrap_or_else(|| panic!("{wrong:?}: {}", client.said()));
        assert!(
            said.contains("recover time [1]"),
            "it counts a retry:\n{said}"
        );
        assert!(client.offsets().is_empty());
    }
}

/// The SDK opens a connection and closes it without a byte before it starts, up to 15 times.
#[test]
fn a_connection_without_a_byte_is_no_error() {
    let mut world = DtsWorld::start();
    for _ in 0..15 {
        for address in [&world.login_address, &world.headwater.bootstrap()] {
            drop(TcpStream::connect(address).expect("it accepts"));
        }
    }
    // Whoever comes behind them is served: they were handled before.
    let directory = world.directory("client");
    let client = world.sdk(Mode::Assign, GROUPS[0], &directory);
    let last = world.work();
    wait_for_row(&client, &last);
    let log = world.headwater.log();
    let bad: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("ERROR") || line.contains("WARN"))
        .filter(|line| !line.contains("type XTYPE") && !line.contains("max_slot_wal_keep_size"))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(client.said().contains("isOk=true"), "the SDK's own check");
}
