use super::*;

fn parse(text: &str) -> SourceUrl {
    SourceUrl::parse(text).unwrap()
}

#[test]
fn every_part_of_a_url_is_read() {
    let url = parse(
        "postgresql://app:p%40ss%2Fw%3Ard@db.example.com:6432/my%20shop?sslmode=verify-full\
         &sslrootcert=%2Fetc%2Fca.pem&connect_timeout=3&application_name=cdc",
    );
    assert_eq!(url.host, Host::Tcp("db.example.com".into()));
    assert_eq!(
        (url.port, url.user.as_str(), url.database.as_str()),
        (6432, "app", "my shop")
    );
    assert_eq!(url.password, Some(Password::new("p@ss/w:rd")));
    assert_eq!(url.tls.mode, SslMode::VerifyFull);
    assert_eq!(
        url.tls.root,
        Some(RootCertificates::File("/etc/ca.pem".into()))
    );
    assert_eq!(url.connect_timeout, Duration::from_secs(3));
    assert_eq!(url.application_name.as_deref(), Some("cdc"));
}

#[test]
fn what_is_missing_is_filled_in_as_libpq_does() {
    let url = parse("postgres://app@localhost");
    assert_eq!(
        (url.port, url.database.as_str(), url.password),
        (5432, "app", None)
    );
    assert_eq!(url.tls.mode, SslMode::Prefer);
    assert_eq!(
        parse("postgres://app@/shop").host,
        Host::Tcp("localhost".into())
    );
}

#[test]
fn a_host_with_a_slash_is_a_unix_socket_directory() {
    let by_parameter = parse("postgres://app@/shop?host=/var/run/postgresql&port=5433");
    let by_host = parse("postgres://app@%2Fvar%2Frun%2Fpostgresql:5433/shop");
    assert_eq!(by_parameter, by_host);
    assert_eq!(by_parameter.server(), "/var/run/postgresql/.s.PGSQL.5433");
}

#[test]
fn addresses_of_both_kinds_are_hosts() {
    assert_eq!(parse("postgres://a@[::1]:7/x").server(), "[::1]:7");
    assert_eq!(parse("postgres://a@[::1]/x").host, Host::Tcp("::1".into()));
    assert_eq!(parse("postgres://a@10.0.0.1/x").server(), "10.0.0.1:5432");
}

#[test]
fn a_password_may_hold_an_at_sign() {
    assert_eq!(
        parse("postgres://a:p@ss@h/x").password,
        Some(Password::new("p@ss"))
    );
}

#[test]
fn the_password_is_never_shown() {
    let url = parse("postgres://app:hush-hush@h/x");
    assert!(!format!("{url:?} {}", url.redacted()).contains("hush-hush"));
    assert_eq!(url.redacted(), "postgres://app:***@h:5432/x?sslmode=prefer");
    for wrong in [
        "postgres://app:hush-hush@h:0/x",
        "postgres://app:hush-hush%@h/x",
        "postgres://app:hush-hush%zz@h/x",
        "postgres://app:hush-hush%00@h/x",
        "postgres://app:hush-hush@h,i/x",
        "postgres://app:hush-hush@h/x?nonsense=1",
        "postgres://app@h/x?password=hush-hush%f",
        "mysql://app:hush-hush@h/x",
    ] {
        let error = SourceUrl::parse(wrong).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
}

#[test]
fn each_wrong_url_is_refused_with_its_reason() {
    for (wrong, reason) in [
        ("mysql://a@h/x", "postgres://"),
        ("", "postgres://"),
        ("postgres://h/x", "no user"),
        ("postgres://a@h:x/x", "port"),
        ("postgres://a@h:65536/x", "port"),
        ("postgres://a@[::1/x", "bracket"),
        ("postgres://a@h1,h2/x", "several hosts"),
        ("postgres://a@h/x?sslmod=require", "\"sslmod\""),
        ("postgres://a@h/x?sslmode=on", "verify-full"),
        ("postgres://a@h/x?sslmode", "name=value"),
        ("postgres://a@h/x?connect_timeout=0", "connect_timeout"),
        ("postgres://a@h/x?sslcert=/c", "sslkey"),
        (
            "postgres://a@h/x?sslmode=require&sslrootcert=system",
            "verify-full",
        ),
        ("postgres://a@h/%ff", "UTF-8"),
    ] {
        let error = SourceUrl::parse(wrong).unwrap_err().to_string();
        assert!(error.contains(reason), "{wrong}: {error}");
    }
}

#[test]
fn the_systems_authorities_mean_a_full_check() {
    assert_eq!(
        parse("postgres://a@h/x?sslrootcert=system").tls.mode,
        SslMode::VerifyFull
    );
}

#[test]
fn any_text_is_a_url_or_an_error() {
    proptest::proptest!(|(text in "postgres://[a-z%@:/?=&\\[\\],0-9]{0,40}")| {
        if let Ok(url) = SourceUrl::parse(&text) {
            drop(url.redacted());
        }
    });
}
