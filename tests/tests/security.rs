//! Logins and TLS with stock clients: each gets in by each mechanism and reads its instance; each says so when it may
//! not. The broker runs in this process, with two instances that the test fills, or as a process where signals and
//! memory count.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use headwater::{
    Broker, RunningBroker,
    config::{
        BrokerConfig, ConnectionConfig, FeedConfig, InstanceConfig, ListenerConfig, SaslConfig,
        SourceConfig, StorageConfig, TlsFiles,
    },
    instance::channel::{ChannelFeeder, channel, running_status},
};
use headwater_capture::{
    Captured, Commit, Preset, ReplicaIdentity, Table, TableBatch, TableKey, TransactionGroup,
};
use headwater_protocol::{batch::BatchBuilder, sasl::Mechanism};
use headwater_storage::catalog::group_rules::GROUPS_PER_INSTANCE;
use headwater_storage::{
    CatalogChange, DataDirectory, Group, GroupMode, GroupNumber, Instance, InstanceNumber,
    RetentionLimits, SourceKind, StoreOptions,
};
use headwater_tests::{
    harness::{Certificate, Client, Headwater, Login, Options, Place, clock, port},
    wire::Wire,
};
use kafka_protocol::{
    messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest},
    protocol::StrBytes,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const USER: &str = "team-orders";
const PASSWORD: &str = "Orders-2024";
const TOPIC: &str = "shop.public.orders";
const FOREIGN_TOPIC: &str = "depot.public.orders";

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

fn group() -> Group {
    Group {
        number: GroupNumber(1),
        id: "orders".to_owned(),
        name: "orders".to_owned(),
        instance: InstanceNumber(1),
        account: "team".to_owned(),
        verifiers: Vec::new(),
        mode: GroupMode::Exclusive,
        created_ms: 0,
        created_group: 0,
        deleted: false,
    }
}

/// A broker in this process.
struct Secured {
    runtime: Runtime,
    broker: RunningBroker,
    certificate: Certificate,
    _feeders: Vec<ChannelFeeder>,
    _data: TempDir,
}

impl Secured {
    /// With one record in the topic of each of two instances, and a group that may read the first.
    fn start() -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let certificate = Certificate::new();
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let (feeders, config) = config(data.path(), &certificate);
        let broker = runtime.block_on(async {
            let broker = Broker::start(config).await.expect("it starts");
            let put = broker.put_group(group(), Some(PASSWORD.to_owned()));
            put.await.expect("the group may be");
            for feeder in &feeders {
                fill(feeder).await;
            }
            broker
        });
        let secured = Self {
            runtime,
            broker,
            certificate,
            _feeders: feeders,
            _data: data,
        };
        let both = clock::poll(Duration::from_secs(20), || {
            (secured.broker.topics().len() == 2).then_some(())
        });
        assert!(both.is_some(), "both topics appear");
        secured
    }

    /// SASL_PLAINTEXT, SSL, SASL_SSL.
    fn listeners(&self) -> [String; 3] {
        let addresses = self.broker.kafka_addresses();
        [0, 1, 2].map(|index| addresses[index].to_string())
    }
}

fn config(data: &Path, certificate: &Certificate) -> (Vec<ChannelFeeder>, BrokerConfig) {
    let plaintext = ListenerConfig::plaintext(SocketAddr::from(([127, 0, 0, 1], 0)));
    let sasl = Some(SaslConfig {
        mechanisms: Mechanism::ALL.to_vec(),
        allow_plain_without_tls: false,
    });
    let tls = Some(TlsFiles {
        certificate: certificate.path(),
        key: certificate.key(),
    });
    let with = |tls: Option<TlsFiles>, sasl: Option<SaslConfig>| ListenerConfig {
        tls,
        sasl,
        ..plaintext.clone()
    };
    let mut feeders = Vec::new();
    let mut instances = Vec::new();
    for name in ["shop", "depot"] {
        let (feeder, source) = channel(4, running_status());
        feeders.push(feeder);
        instances.push(InstanceConfig {
            name: name.to_owned(),
            source: SourceConfig::Channel(source),
            feeds: vec![FeedConfig::tables(name, Preset::Flink)],
            retention: RetentionLimits::default(),
            groups_max: GROUPS_PER_INSTANCE,
            groups: Vec::new(),
        });
    }
    let config = BrokerConfig {
        data_dir: data.to_owned(),
        listeners: vec![
            with(None, sasl.clone()),
            with(tls.clone(), None),
            with(tls, sasl),
        ],
        connections: ConnectionConfig::default(),
        operator: None,
        http_listen: None,
        storage: StorageConfig::default(),
        instances,
    };
    (feeders, config)
}

async fn fill(feeder: &ChannelFeeder) {
    let table = Table {
        key: TableKey(0),
        relation: 16_384,
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: Vec::new(),
        unique_keys: Vec::new(),
    };
    let mut builder = BatchBuilder::new();
    builder
        .append(1, Some(br#"{"id":1}"#), Some(br#"{"item":"tea"}"#), &[])
        .expect("it is small");
    let batch = TableBatch {
        feed: 0,
        table: Some(TableKey(0)),
        batch: builder.finish().expect("it has a record"),
    };
    let group = TransactionGroup {
        batches: vec![batch],
        commit: Some(Commit {
            position: vec![1],
            commit_time_ms: Some(1),
            transactions: 1,
            changes: 1,
        }),
        open: None,
    };
    for captured in [Captured::Tables(vec![table]), Captured::Group(group)] {
        let sent = feeder.captured.send(captured).await;
        sent.expect("the log takes it");
    }
}

#[test]
fn stock_clients_log_in_by_each_mechanism_and_read_their_instance() {
    let secured = Secured::start();
    let [sasl, _, sasl_ssl] = secured.listeners();
    for client in Client::ALL {
        for mechanism in MECHANISMS {
            let plain = Login::by(mechanism, USER, PASSWORD);
            let tls = plain.clone().trusting(secured.certificate.path());
            for (bootstrap, login) in [(&sasl, plain), (&sasl_ssl, tls)] {
                let topics = client.try_list(bootstrap, &login);
                assert_eq!(topics, Ok(vec![TOPIC.to_owned()]), "{client:?} {login:?}");
            }
        }
        let login = Login::by("SCRAM-SHA-512", USER, PASSWORD).trusting(secured.certificate.path());
        let records = client
            .read_as((&sasl_ssl, &login), TOPIC, Place::Start, 1)
            .records();
        assert_eq!(
            records[0].value,
            Some(serde_json::json!({"item": "tea"})),
            "{client:?}"
        );
    }
}

#[test]
fn stock_clients_read_by_tls_without_a_login_where_none_is_wanted() {
    let secured = Secured::start();
    let [_, ssl, _] = secured.listeners();
    let login = Login::default().trusting(secured.certificate.path());
    for client in Client::ALL {
        let topics = client.try_list(&ssl, &login);
        let all = vec![FOREIGN_TOPIC.to_owned(), TOPIC.to_owned()];
        assert_eq!(topics, Ok(all), "{client:?}");
    }
}

#[test]
fn stock_clients_say_that_user_name_or_password_are_wrong() {
    // Each client tries for many seconds before it gives up.
    std::thread::scope(|scope| {
        for client in [Client::Kcat, Client::Java] {
            for mechanism in MECHANISMS {
                scope.spawn(move || is_told_what_is_wrong(client, mechanism));
            }
        }
    });
}

fn is_told_what_is_wrong(client: Client, mechanism: &'static str) {
    let secured = Secured::start();
    let [sasl, _, _] = secured.listeners();
    for user in [USER, "team-nothing"] {
        let login = Login::by(mechanism, user, "Wrong-2024");
        let said = client.try_list(&sasl, &login).expect_err("it may not");
        let told = said.contains("wrong user name or password");
        assert!(told, "{client:?} {mechanism} {user}: {said}");
    }
}

#[test]
fn a_client_that_asks_for_a_foreign_topic_is_told_that_it_may_not() {
    let secured = Secured::start();
    let [sasl, _, _] = secured.listeners();
    let login = Login::by("SCRAM-SHA-256", USER, PASSWORD);
    for topic in [FOREIGN_TOPIC, "no.such.topic"] {
        let reading = Client::Java.read_as((&sasl, &login), topic, Place::Start, 1);
        let said = reading.failure();
        assert!(
            said.contains("TopicAuthorizationException"),
            "{topic}: {said}"
        );
        let reading = Client::Kcat.read_as((&sasl, &login), topic, Place::Start, 1);
        let said = reading.failure();
        assert!(
            said.contains("Topic authorization failed"),
            "{topic}: {said}"
        );
    }
}

#[test]
fn a_changed_password_counts_at_once() {
    let secured = Secured::start();
    let [sasl, _, _] = secured.listeners();
    let old = Login::by("PLAIN", USER, PASSWORD);
    assert!(Client::Kcat.try_list(&sasl, &old).is_ok());
    let put = secured
        .broker
        .put_group(group(), Some("Changed-2024".to_owned()));
    secured.runtime.block_on(put).expect("it may be");
    assert!(Client::Kcat.try_list(&sasl, &old).is_err());
    let new = Login::by("PLAIN", USER, "Changed-2024");
    assert!(Client::Kcat.try_list(&sasl, &new).is_ok());
}

/// A broker as a process, whose database is not there: its logins are.
struct Process {
    headwater: Headwater,
    bootstrap: String,
    certificate: Certificate,
    _directory: TempDir,
}

impl Process {
    fn start(listeners: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let certificate = Certificate::new();
        let data = directory.path().join("data");
        make_data(&data);
        let options = Options::of_url("", None);
        let bootstrap = format!("127.0.0.1:{}", options.kafka_port);
        let listeners = listeners
            .replace("ADDRESS", &bootstrap)
            .replace("CERTIFICATE", &certificate.path().display().to_string())
            .replace("KEY", &certificate.key().display().to_string());
        let text = format!(
            "[server]\ndata_dir = \"{}\"\n{listeners}\n[http]\nlisten = \"127.0.0.1:{}\"\n[[instance]]\n\
             name = \"shop\"\nsource = {{ url = \"postgres://nobody@127.0.0.1:{}/nothing\" }}\n",
            data.display(),
            options.http_port,
            port::free(),
        );
        let file = directory.path().join("headwater.toml");
        fs::write(&file, text).expect("the directory is ours");
        let file = file.to_str().expect("it is ASCII");
        let mut headwater = Headwater::spawn_with(&options, &["run", "--config", file]);
        headwater.wait_until("it is ready", Headwater::is_ready);
        Self {
            headwater,
            bootstrap,
            certificate,
            _directory: directory,
        }
    }
}

/// A data directory with a group, as an operator would have made it.
fn make_data(path: &Path) {
    let directory = DataDirectory::open(path, &StoreOptions::default()).expect("it is new");
    let instance = Instance {
        number: InstanceNumber(1),
        name: "shop".to_owned(),
        source: SourceKind::Postgresql,
        created_ms: 0,
        incarnation: 0,
        pause: None,
        gaps: Vec::new(),
    };
    let mut group = group();
    group.verifiers = headwater::stored_verifiers(PASSWORD).expect("there is randomness");
    let changes = vec![
        CatalogChange::Instance(instance),
        CatalogChange::Group(group),
    ];
    directory.change(changes).expect("they may be");
}

const SASL_LISTENER: &str =
    "[[kafka.listener]]\nlisten = \"ADDRESS\"\nprotocol = \"SASL_PLAINTEXT\"\n";
const SASL_SSL_LISTENER: &str = "[[kafka.listener]]\nlisten = \"ADDRESS\"\nprotocol = \"SASL_SSL\"\n\
                                 tls = { certificate = \"CERTIFICATE\", key = \"KEY\" }\n";

#[test]
fn a_hang_up_signal_brings_a_new_certificate_into_use_and_a_bad_one_not() {
    let mut process = Process::start(SASL_SSL_LISTENER);
    let login = Login::by("SCRAM-SHA-256", USER, PASSWORD);
    let old = process.certificate.copy("old.pem");
    let lists = |process: &Process, trusted: &Path| {
        let login = login.clone().trusting(trusted.to_owned());
        Client::Java.try_list(&process.bootstrap, &login).is_ok()
    };
    assert!(lists(&process, &old));

    fs::write(process.certificate.path(), "nonsense").expect("the file is ours");
    process.headwater.hang_up();
    process
        .headwater
        .wait_until("it says that it was not reloaded", |headwater| {
            headwater
                .log()
                .contains("certificate not reloaded, the old one stays in use")
        });
    assert!(lists(&process, &old));

    process.certificate.renew();
    process.headwater.hang_up();
    process
        .headwater
        .wait_until("it says that it was reloaded", |headwater| {
            headwater.log().contains("is in use from now on")
        });
    assert!(lists(&process, &process.certificate.path()));
    assert!(!lists(&process, &old));
    assert!(process.headwater.stop().success());
}

#[test]
fn the_log_says_which_part_of_a_login_was_wrong_and_never_the_password() {
    let mut process = Process::start(SASL_LISTENER);
    for (user, reason) in [
        (USER, "wrong password"),
        ("nobody-orders", "wrong account"),
        ("team-nothing", "wrong group"),
        ("noone", "wrong account: no consumer group has it"),
    ] {
        let told = wrong_login(&process.bootstrap, Ipv4Addr::LOCALHOST, user);
        assert!(matches!(told, Ok(58)), "{user}: {told:?}");
        process
            .headwater
            .wait_until("it tells the reason", |headwater| {
                let log = headwater.log();
                log.lines()
                    .any(|line| line.contains(user) && line.contains(reason))
            });
    }
    assert!(!process.headwater.log().contains("Wrong-2024"));
}

/// A connection from an address of this machine.
fn connect(bootstrap: &str, from: Ipv4Addr) -> std::io::Result<Wire> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    let address: SocketAddr = bootstrap.parse().expect("it is an address");
    socket.connect(&address.into())?;
    Wire::over(TcpStream::from(socket))
}

fn choose(wire: &mut Wire, mechanism: &'static str) -> std::io::Result<()> {
    let mechanism = StrBytes::from_static_str(mechanism);
    wire.call(
        1,
        &SaslHandshakeRequest::default().with_mechanism(mechanism),
    )
    .map(drop)
}

fn token(wire: &mut Wire, token: String) -> std::io::Result<SaslAuthenticateResponse> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(token.into());
    wire.call(1, &request)
}

/// PLAIN with a password that is wrong: the error code.
fn wrong_login(bootstrap: &str, from: Ipv4Addr, user: &str) -> std::io::Result<i16> {
    let mut wire = connect(bootstrap, from)?;
    choose(&mut wire, "PLAIN")?;
    Ok(token(&mut wire, format!("\0{user}\0Wrong-2024"))?.error_code)
}

/// SCRAM with a proof that is wrong: the error code.
fn wrong_proof(bootstrap: &str, from: Ipv4Addr, user: &str) -> std::io::Result<i16> {
    let mut wire = connect(bootstrap, from)?;
    choose(&mut wire, "SCRAM-SHA-256")?;
    let challenge = token(&mut wire, format!("n,,n={user},r=mine"))?.auth_bytes;
    let challenge = String::from_utf8_lossy(&challenge);
    let nonce = challenge.split(',').next().unwrap_or_default();
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    Ok(token(&mut wire, format!("c=biws,{nonce},p={proof}"))?.error_code)
}

/// kafka-python 3.0 drops an answer that arrives together with the end of the connection, and never learns why.
#[test]
fn a_refused_client_has_time_to_read_why_before_the_connection_ends() {
    let process = Process::start(SASL_LISTENER);
    let mut wire = connect(&process.bootstrap, Ipv4Addr::LOCALHOST).expect("it listens");
    choose(&mut wire, "PLAIN").expect("it is offered");
    let refused = token(&mut wire, format!("\0{USER}\0Wrong-2024")).expect("it answers");
    assert_eq!(refused.error_code, 58);
    let mut stream = wire.stream();
    let wait = |limit| stream.set_read_timeout(Some(limit)).expect("it is no zero");
    wait(Duration::from_millis(100));
    let still_open = stream.read(&mut [0]).expect_err("nothing comes");
    assert_eq!(still_open.kind(), std::io::ErrorKind::WouldBlock);
    wait(Duration::from_secs(20));
    assert_eq!(stream.read(&mut [0]).expect("it is closed"), 0);
}

#[test]
fn ten_thousand_wrong_logins_take_no_memory_and_keep_nobody_out() {
    const LOGINS: usize = 10_000;
    let process = Process::start(SASL_LISTENER);
    let login = Login::by("SCRAM-SHA-256", USER, PASSWORD);
    assert!(Client::Kcat.try_list(&process.bootstrap, &login).is_ok());
    // What the first few hundred take is taken once.
    let attack = |next: &AtomicUsize, until: usize| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= until {
                return;
            }
            // Each address fails twice: later failures of one wait longer than a test likes.
            let offset = u32::try_from(number / 2).expect("it is small");
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + offset);
            let user = format!("nobody{number}");
            // Some cost the broker a password's hashing.
            let told = if number.is_multiple_of(50) {
                wrong_login(&process.bootstrap, address, &user)
            } else {
                wrong_proof(&process.bootstrap, address, &user)
            };
            assert!(
                matches!(told, Ok(58)),
                "login {number} from {address}: {told:?}"
            );
        }
    };
    let next = AtomicUsize::new(0);
    let threads = |until: usize| {
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| attack(&next, until));
            }
            let mut served = 0;
            while next.load(Ordering::Relaxed) < until {
                let started = clock::now();
                let listed = Client::Kcat.try_list(&process.bootstrap, &login);
                assert!(listed.is_ok(), "{listed:?}");
                assert!(started.elapsed() < Duration::from_secs(10));
                served += 1;
            }
            served
        })
    };
    threads(LOGINS / 10);
    next.store(LOGINS / 10, Ordering::Relaxed);
    let before = process.headwater.resident_kib();
    let served = threads(LOGINS);
    let after = process.headwater.resident_kib();
    assert!(served > 0);
    assert!(
        after < before + 8 * 1024,
        "{before} KiB before, {after} KiB after"
    );
    // A few lines in ten seconds, whatever the number of failures.
    let lines = process.headwater.log().matches("login refused").count();
    assert!(lines < 200, "{lines} lines");
}

#[test]
fn the_wrong_kind_of_client_is_one_line_that_says_how_to_set_it() {
    let mut tls = Process::start(SASL_SSL_LISTENER);
    let mut client = TcpStream::connect(&tls.bootstrap).expect("it listens");
    client
        .write_all(b"\0\0\0\x10\0\x12\0\0\0\0\0\x01\xff\xff")
        .expect("it is small");
    let mut rest = Vec::new();
    // Closed with bytes unread, which may be told as a reset.
    let _closed = client.read_to_end(&mut rest);
    tls.headwater.wait_until("it says so", |headwater| {
        let log = headwater.log();
        log.contains("does not speak TLS") && log.contains("SASL_SSL")
    });
    let mut sasl = Process::start(SASL_LISTENER);
    let mut client = TcpStream::connect(&sasl.bootstrap).expect("it listens");
    client
        .write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1])
        .expect("it is small");
    sasl.headwater.wait_until("it says so", |headwater| {
        headwater
            .log()
            .contains("set security.protocol=SASL_PLAINTEXT in the client")
    });
    let listed = Client::Kcat.try_list(&sasl.bootstrap, &Login::default());
    assert!(listed.is_err());
    sasl.headwater.wait_until("it says so", |headwater| {
        headwater
            .log()
            .contains("Metadata before a login: set security.protocol=SASL_PLAINTEXT")
    });
}
