//! What people copy.

use super::*;

fn entry(bootstrap: &str, protocol: &'static str, mechanisms: &[Mechanism]) -> Entry {
    Entry {
        bootstrap: bootstrap.to_owned(),
        protocol,
        mechanisms: mechanisms.to_vec(),
    }
}

fn text<'a>(settings: &'a ClientSettings, client: &str) -> &'a str {
    let mut all = settings.settings.iter();
    &all.find(|one| one.client == client).unwrap().text
}

#[test]
fn the_safest_listener_with_a_login_is_told() {
    let entries = [
        entry("127.0.0.1:9092", "PLAINTEXT", &[]),
        entry("a:9093", "SASL_PLAINTEXT", &Mechanism::ALL),
        entry("b:9094", "SASL_SSL", &Mechanism::ALL),
        entry("c:9095", "SASL_SSL", &Mechanism::ALL),
        entry("d:9096", "SSL", &[]),
    ];
    let settings = settings("orders", Some("team"), Some("shop.public.orders"), &entries);
    assert_eq!(settings.bootstrap.as_deref(), Some("b:9094"));
    assert_eq!(settings.user.as_deref(), Some("team-orders"));
    for one in &settings.settings {
        for part in ["b:9094", "orders", "shop.public.orders"] {
            let wanted = one.client != "java" || part != "shop.public.orders";
            assert!(
                !wanted || one.text.contains(part),
                "{}: {}",
                one.client,
                one.text
            );
        }
        assert!(one.text.contains("team-orders"), "{}", one.text);
    }
    assert!(text(&settings, "java").contains("ScramLoginModule"));
    assert!(text(&settings, "kafkajs").contains("scram-sha-256"));
    assert!(text(&settings, "kafkajs").contains("ssl: true"));
    assert_eq!(
        text(&settings, "kcat"),
        "kcat -b b:9094 -X security.protocol=SASL_SSL -X sasl.mechanisms=SCRAM-SHA-256 -X sasl.username=team-orders \
         -X 'sasl.password=<password>' -X auto.offset.reset=earliest -G orders shop.public.orders\n"
    );
}

#[test]
fn a_listener_of_plain_alone_is_told_with_the_plain_module() {
    let entries = [entry("a:9093", "SASL_PLAINTEXT", &[Mechanism::Plain])];
    let settings = settings("orders", Some("team"), None, &entries);
    assert!(text(&settings, "java").contains("PlainLoginModule"));
    assert!(text(&settings, "java").contains("sasl.mechanism=PLAIN\n"));
    assert!(text(&settings, "kafkajs").contains("mechanism: 'plain'"));
    assert!(text(&settings, "kafkajs").contains("ssl: false"));
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
}

#[test]
fn without_a_login_that_is_said_and_no_password_is_asked_for() {
    let entries = [entry("127.0.0.1:9092", "PLAINTEXT", &[])];
    let settings = settings("orders", Some("team"), None, &entries);
    assert!(
        settings.notes[0].contains("no listener with a login"),
        "{:?}",
        settings.notes
    );
    assert_eq!((&settings.user, &settings.mechanism), (&None, &None));
    for one in &settings.settings {
        assert!(!one.text.contains("<password>"), "{}", one.text);
    }
}
