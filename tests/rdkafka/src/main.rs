//! A member of a consumer group with the `rdkafka` crate; prints one JSON object a line.
//!
//!     member BOOTSTRAP GROUP TOPIC SESSION_MS
//!
//! Logs in where SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD are set. Prints {"assigned":N} and {"revoked":N} with
//! the number of partitions, and {"offset":N} for each record, committed before the next one. SIGTERM ends it cleanly:
//! it leaves the group. A refusal that the library hands to the application ends it: {"error":TEXT}, exit code 1; the
//! library's log goes to stderr.

use std::{
    env,
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show(&json!({ "error": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bootstrap, group, topic, session_ms] = arguments.as_slice() else {
        return Err("usage: member BOOTSTRAP GROUP TOPIC SESSION_MS".into());
    };
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stopped))?;
    let consumer: BaseConsumer<Told> =
        settings(bootstrap, group, session_ms).create_with_context(Told)?;
    consumer.subscribe(&[topic])?;
    while !stopped.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                show(&json!({ "offset": record.offset() }));
                let next = Offset::Offset(record.offset() + 1);
                let mut position = TopicPartitionList::new();
                let mut partition = position.add_partition(record.topic(), record.partition());
                partition.set_offset(next)?;
                partition.set_metadata("done");
                if let Err(error) = consumer.commit(&position, CommitMode::Sync) {
                    // A member that lost its place may not commit; it goes on as a standby.
                    show(&json!({ "refused": error.to_string() }));
                }
            }
            Some(Err(error)) if ends(&error) => return Err(error.into()),
            // The broker is restarting, or the like: the library tries again.
            Some(Err(error)) => show(&json!({ "told": error.to_string() })),
            None => {}
        }
    }
    Ok(())
}

fn settings(bootstrap: &str, group: &str, session_ms: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("session.timeout.ms", session_ms)
        .set("heartbeat.interval.ms", "1000")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    if let Ok(mechanism) = env::var("SASL_MECHANISM") {
        settings
            .set("security.protocol", "SASL_PLAINTEXT")
            .set("sasl.mechanism", mechanism)
            .set(
                "sasl.username",
                env::var("SASL_USERNAME").unwrap_or_default(),
            )
            .set(
                "sasl.password",
                env::var("SASL_PASSWORD").unwrap_or_default(),
            );
    }
    settings
}

/// What no trying again heals.
fn ends(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(is_refusal)
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::Fatal
    )
}

/// What the library tells besides records.
struct Told;

impl ClientContext for Told {
    /// Why a login failed stands here only.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        eprintln!("{facility} {line}");
    }
}

impl ConsumerContext for Told {
    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => show(&json!({ "assigned": partitions.count() })),
            Rebalance::Revoke(partitions) => show(&json!({ "revoked": partitions.count() })),
            Rebalance::Error(error) => show(&json!({ "told": error.to_string() })),
        }
    }
}

fn show(thing: &Value) {
    println!("{thing}");
}
