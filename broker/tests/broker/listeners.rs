//! Listeners and the operator in the configuration file: Kafka's four protocols, and one line for each mistake.

use std::{fs, path::Path};

use headwater::config::{ListenerConfig, file};
use headwater_protocol::sasl::Mechanism;
use tempfile::TempDir;

const START: &str = "[server]\ndata_dir = \"d\"\n";

/// Line 4 of the file.
const TLS: &str = "tls = { certificate = \"c.pem\", key = \"k.pem\" }\n";

fn written(directory: &TempDir, text: &str) -> std::path::PathBuf {
    let path = directory.path().join("headwater.toml");
    fs::write(&path, format!("{START}{text}")).unwrap();
    path
}

fn listener(directory: &TempDir, text: &str) -> ListenerConfig {
    let path = written(directory, &format!("[[kafka.listener]]\n{text}"));
    file::load(&path).unwrap().broker.listeners.remove(0)
}

fn mistake(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let error = file::load(&written(&directory, text))
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn a_listener_speaks_one_of_the_four_protocols_of_kafka() {
    let directory = tempfile::tempdir().unwrap();
    for (protocol, tls, sasl) in [
        ("PLAINTEXT", false, false),
        ("SASL_PLAINTEXT", false, true),
        ("SSL", true, false),
        ("SASL_SSL", true, true),
    ] {
        let files = if tls { TLS } else { "" };
        let text = format!("listen = \"127.0.0.1:9092\"\nprotocol = \"{protocol}\"\n{files}");
        let listener = listener(&directory, &text);
        assert_eq!(listener.protocol(), protocol);
        assert_eq!(
            (listener.tls.is_some(), listener.sasl.is_some()),
            (tls, sasl)
        );
        if let Some(files) = listener.tls {
            assert_eq!(files.key, Path::new("k.pem"));
        }
    }
}

#[test]
fn plain_is_among_the_mechanisms_where_the_password_is_not_seen() {
    let directory = tempfile::tempdir().unwrap();
    let scram = Mechanism::ALL[1..].to_vec();
    let all = Mechanism::ALL.to_vec();
    for (text, expected) in [
        ("listen = \"127.0.0.1:1\"\nprotocol = \"SASL_PLAINTEXT\"\n".to_owned(), all.clone()),
        ("listen = \"0.0.0.0:1\"\nprotocol = \"SASL_PLAINTEXT\"\n".to_owned(), scram.clone()),
        (
            "listen = \"0.0.0.0:1\"\nprotocol = \"SASL_PLAINTEXT\"\nallow_plain_without_tls = true\n".to_owned(),
            all.clone(),
        ),
        (format!("listen = \"0.0.0.0:1\"\nprotocol = \"SASL_SSL\"\n{TLS}"), all),
        (
            "listen = \"127.0.0.1:1\"\nprotocol = \"SASL_PLAINTEXT\"\nmechanisms = [\"SCRAM-SHA-512\"]\n".to_owned(),
            scram[1..].to_vec(),
        ),
    ] {
        let sasl = listener(&directory, &text).sasl.unwrap();
        assert_eq!(sasl.mechanisms, expected, "{text}");
    }
}

#[test]
fn every_mistake_of_a_listener_is_one_line_with_its_fix() {
    let whole = |text: &str| format!("[[kafka.listener]]\nlisten = \"127.0.0.1:1\"\n{text}\n");
    let open = |text: &str| whole(text).replace("127.0.0.1", "0.0.0.0");
    for (text, parts) in [
        (whole("protocol = \"SASL_SSL\""), &["toml:3:", "tls = {"][..]),
        (whole(TLS), &["toml:3:", "SASL_SSL", "leave tls out"]),
        (whole("protocol = \"sasl_ssl\""), &["toml:5:", "SASL_SSL"]),
        (whole("mechanisms = [\"PLAIN\"]"), &["toml:3:", "protocol"]),
        (whole("allow_plain_without_tls = true"), &["toml:3:", "protocol"]),
        (
            whole("protocol = \"SASL_PLAINTEXT\"\nmechanisms = [\"GSSAPI\"]"),
            &["toml:6:", "GSSAPI", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"],
        ),
        (
            whole("protocol = \"SASL_PLAINTEXT\"\nmechanisms = []"),
            &["127.0.0.1:1", "mechanisms"],
        ),
        (
            open("protocol = \"SASL_PLAINTEXT\"\nmechanisms = [\"PLAIN\"]"),
            &["0.0.0.0:1", "allow_plain_without_tls = true"],
        ),
        (
            open(&format!("protocol = \"SSL\"\n{TLS}")),
            &["0.0.0.0:1", "allow_unauthenticated = true"],
        ),
        (whole("protocl = \"SSL\""), &["toml:5:", "did you mean `protocol`"]),
        ("[kafka]\nlogin_deadline = \"0s\"\n".to_owned(), &["kafka.login_deadline"]),
        (
            "[kafka.operator]\nuser = \"a-b\"\npassword = { env = \"HOME\" }\n".to_owned(),
            &["toml:4:", "a-b", "1 to 16"],
        ),
        (
            "[kafka.operator]\nuser = \"root\"\npassword = \"Secret-2024\"\n".to_owned(),
            &["toml:5:", "does not stand in this file"],
        ),
        (
            "[kafka.operator]\nuser = \"root\"\npassword = { env = \"HEADWATER_NO_SUCH_VARIABLE\" }\n".to_owned(),
            &["toml:5:", "HEADWATER_NO_SUCH_VARIABLE"],
        ),
    ] {
        let error = mistake(&text);
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks {part:?}");
        }
        assert!(!error.contains("Secret-2024"), "{error}");
    }
}

#[test]
fn an_operator_has_a_password_from_elsewhere_that_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, "Operator-2024\n").unwrap();
    let text = format!("[kafka.operator]\nuser = \"root\"\npassword = {{ file = {secret:?} }}\n");
    let operator = file::load(&written(&directory, &text))
        .unwrap()
        .broker
        .operator
        .unwrap();
    assert_eq!(
        (operator.user.as_str(), operator.password.as_str()),
        ("root", "Operator-2024")
    );
    assert!(!format!("{operator:?}").contains("Operator-2024"));
}
