//! Logins: passwords by every method, and TLS as each sslmode wants it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use headwater_capture::postgres::connection::{Connection, Purpose};
use headwater_capture::postgres::error::ConnectionError;
use headwater_capture::postgres::{PasswordReader, PasswordSources, SourceUrl, SslMode};
use tempfile::TempDir;

use crate::ORDERS;
use crate::reader::{Reader, config};
use crate::server::{Server, hand_over, run};

const PASSWORDS: &str = "host all md5 127.0.0.1/32 md5\n\
                         host all scram 127.0.0.1/32 scram-sha-256\n\
                         host all clear 127.0.0.1/32 password\n\
                         host all nobody 127.0.0.1/32 trust\n";
const ROLES: &str = "SET password_encryption = 'md5'; \
                     CREATE ROLE md5 LOGIN SUPERUSER PASSWORD 'pass:word'; \
                     SET password_encryption = 'scram-sha-256'; \
                     CREATE ROLE scram LOGIN SUPERUSER PASSWORD 'pass:word'; \
                     CREATE ROLE clear LOGIN SUPERUSER PASSWORD 'pass:word'";

async fn connect(url: &SourceUrl) -> Result<Connection, ConnectionError> {
    Connection::connect(url, "test", Purpose::Catalog).await
}

/// Whether the connection is encrypted, by the server's word.
async fn is_encrypted(url: &SourceUrl) -> bool {
    let mut connection = connect(url)
        .await
        .unwrap_or_else(|error| panic!("{url:?}: {error}"));
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let rows = connection
        .query(sql, Duration::from_secs(10))
        .await
        .unwrap();
    rows[0][0].as_deref() == Some("t")
}

async fn refusal(url: &SourceUrl) -> String {
    connect(url).await.unwrap_err().to_string()
}

#[tokio::test]
async fn passwords_work_by_scram_and_md5_and_not_in_clear() {
    let server = Server::start_with_hba(PASSWORDS, &[]).await;
    server.sql(ROLES).await;
    for user in ["md5:pass:word", "scram:pass:word"] {
        assert!(!is_encrypted(&server.url(user)).await);
    }
    let clear = refusal(&server.url("clear:pass:word")).await;
    assert!(clear.contains("in clear"), "{clear}");
    for user in ["md5", "scram"] {
        let missing = refusal(&server.url(user)).await;
        assert!(missing.contains("asks for a password"), "{missing}");
    }
    let refused = refusal(&server.url("scram:wrong-one")).await;
    let said = "password authentication failed";
    assert!(
        refused.contains(said) && !refused.contains("wrong-one"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_refused_login_is_a_state_with_its_fix() {
    let server = Server::start_with_hba(PASSWORDS, &[]).await;
    server.sql(ROLES).await;
    for (user, told) in [
        ("scram:wrong-one", "refused the password of user \"scram\""),
        ("scram", "none was given"),
        ("nobody", "role \"nobody\" does not exist"),
        ("stranger:wrong-one", "pg_hba.conf"),
        ("clear:wrong-one", "sslmode=verify-full"),
    ] {
        let mut reader = Reader::start(config(server.url(user)));
        reader.end().await;
        assert_eq!(reader.state(), "source_refused");
        assert!(reader.told().contains(told), "{}", reader.told());
        assert!(!format!("{:?}", reader.status()).contains("wrong-one"));
    }
}

#[tokio::test]
async fn a_password_that_is_mended_in_its_file_is_found_without_a_restart() {
    let server = Server::start_with_hba(PASSWORDS, &[]).await;
    server.sql(ROLES).await;
    server.sql(ORDERS).await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("pgpass");
    let write = |entry: &str| {
        fs::write(&file, entry).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("*:*:*:scram:pass\\:word\n");
    let sources = PasswordSources {
        password: None,
        file: Some(file.clone()),
    };
    let url = sources.complete(server.url("scram")).unwrap();
    let mut reader = Reader::running(config(url)).await;
    server
        .sql("SET password_encryption = 'scram-sha-256'; ALTER ROLE scram PASSWORD 'other'")
        .await;
    server
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'scram'")
        .await;
    reader
        .until("refused", |reader| reader.state() == "source_refused")
        .await;
    let told = reader.told();
    assert!(
        told.contains("refused the password of user \"scram\""),
        "{told}"
    );
    write("*:*:*:scram:other\n");
    server.sql("INSERT INTO orders VALUES (1)").await;
    reader
        .until("what was written meanwhile", |reader| {
            reader.state() == "running" && reader.ids() == [1]
        })
        .await;
}

#[tokio::test]
async fn a_password_that_cannot_be_read_again_is_told_with_its_place() {
    let server = Server::start_with_hba(PASSWORDS, &[]).await;
    server.sql(ROLES).await;
    let url = server
        .url("scram")
        .with_password_reader(PasswordReader::new(|| {
            Err("password file /run/secret is gone".to_owned())
        }));
    let mut reader = Reader::start(config(url));
    reader.end().await;
    assert_eq!(reader.state(), "source_refused");
    assert!(
        reader.told().contains("/run/secret is gone"),
        "{}",
        reader.told()
    );
}

/// Keys and certificates made by openssl, readable by the server.
struct Certificates {
    directory: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("headwater-tls-")
            .tempdir()
            .unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut openssl = Command::new("openssl");
        run(openssl
            .current_dir(self.directory.path())
            .args(arguments.split_whitespace()));
    }

    /// `name.crt` signs itself.
    fn self_signed(&self, name: &str, extension: &str) {
        self.openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -days 2 \
             -subj /CN={name} {extension}"
        ));
        self.hand_over(name);
    }

    /// `name.crt` signed by `authority`.
    fn signed(&self, name: &str, authority: &str, extension: &str) {
        self.openssl(&format!(
            "req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} {extension}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial \
             -out {name}.crt -days 2 -copy_extensions copy"
        ));
        self.hand_over(name);
    }

    fn hand_over(&self, name: &str) {
        let key = self.path(&format!("{name}.key"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        hand_over(&key);
    }

    /// Settings of a server with this certificate.
    fn settings(&self, name: &str, client_authority: &str) -> [String; 4] {
        let path = |file: String| self.path(&file).display().to_string();
        [
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", path(format!("{name}.crt"))),
            format!("ssl_key_file={}", path(format!("{name}.key"))),
            format!("ssl_ca_file={}", path(format!("{client_authority}.crt"))),
        ]
    }
}

async fn tls_server(hba: &str, settings: &[String]) -> Server {
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let server = Server::start_with_hba(hba, &settings).await;
    server.sql(ROLES).await;
    server
}

fn root(path: &Path) -> String {
    format!("&sslrootcert={}", path.display())
}

#[tokio::test]
async fn every_sslmode_checks_what_it_says() {
    let certificates = Certificates::new();
    certificates.self_signed("authority", "");
    certificates.self_signed("stranger", "");
    certificates.signed(
        "server",
        "authority",
        "-addext subjectAltName=IP:127.0.0.1,DNS:db.test",
    );
    let settings = certificates.settings("server", "authority");
    let hba = format!("hostnossl all scram all scram-sha-256\n{PASSWORDS}");
    let server = tls_server(&hba, &settings).await;
    let url = |parameters: &str| server.url_with("scram:pass:word", parameters);
    let authority = root(&certificates.path("authority.crt"));
    let stranger = root(&certificates.path("stranger.crt"));

    for plain in ["sslmode=disable", "sslmode=allow"] {
        assert!(!is_encrypted(&url(plain)).await, "{plain}");
    }
    for tls in ["sslmode=prefer", "sslmode=require"] {
        assert!(is_encrypted(&url(tls)).await, "{tls}");
    }
    let bound = url("sslmode=require&channel_binding=require");
    if server.major() >= 11 {
        assert!(is_encrypted(&bound).await);
    } else {
        let refused = refusal(&bound).await;
        assert!(refused.contains("channel binding"), "{refused}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        assert!(
            is_encrypted(&url(&format!("sslmode={mode}{authority}"))).await,
            "{mode}"
        );
        let refused = refusal(&url(&format!("sslmode={mode}{stranger}"))).await;
        assert!(
            refused.contains("certificate not accepted"),
            "{mode}: {refused}"
        );
    }
    let unknown = refusal(&url("sslmode=verify-full")).await;
    assert!(unknown.contains("certificate not accepted"), "{unknown}");
    let missing = refusal(&url("sslmode=verify-ca&sslrootcert=/nonexistent.crt")).await;
    assert!(
        missing.contains("sslrootcert=/nonexistent.crt"),
        "{missing}"
    );

    // A stream of a few megabytes through TLS, both ways.
    server.sql(ORDERS).await;
    let mut reader = Reader::running(config(url(&format!("sslmode=verify-full{authority}")))).await;
    server
        .sql("INSERT INTO orders SELECT g, repeat('x', 500) FROM generate_series(1, 10000) g")
        .await;
    reader
        .until("all rows", |reader| reader.changes.len() == 10_000)
        .await;
    reader.stop().await;

    // The same server by a name that its certificate does not hold.
    let by_name = |mode: SslMode| {
        let mut url = url(&format!("sslmode=verify-full{authority}"));
        url.host = headwater_capture::postgres::url::Host::Tcp("localhost".into());
        url.tls.mode = mode;
        url
    };
    assert!(is_encrypted(&by_name(SslMode::VerifyCa)).await);
    assert!(
        refusal(&by_name(SslMode::VerifyFull))
            .await
            .contains("not valid for name")
    );
}

#[tokio::test]
async fn a_password_goes_in_clear_inside_verified_tls_only() {
    let certificates = Certificates::new();
    // As the manual proposes: the server's own certificate, which is no authority's, is what clients trust.
    certificates.self_signed("server", "-addext subjectAltName=IP:127.0.0.1");
    certificates.self_signed("stranger", "-addext subjectAltName=IP:127.0.0.1");
    let server = tls_server(PASSWORDS, &certificates.settings("server", "server")).await;
    let url = |parameters: &str| server.url_with("clear:pass:word", parameters);
    let own = root(&certificates.path("server.crt"));
    for mode in ["verify-ca", "verify-full"] {
        assert!(
            is_encrypted(&url(&format!("sslmode={mode}{own}"))).await,
            "{mode}"
        );
    }
    assert!(refusal(&url("sslmode=require")).await.contains("in clear"));
    let stranger = root(&certificates.path("stranger.crt"));
    let refused = refusal(&url(&format!("sslmode=verify-ca{stranger}"))).await;
    assert!(refused.contains("certificate not accepted"), "{refused}");
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let certificates = Certificates::new();
    certificates.self_signed("authority", "");
    certificates.self_signed("stranger", "");
    // Without extensions openssl makes X.509 version 1, which proves nothing to us but encrypts.
    certificates.signed("server", "authority", "");
    certificates.signed("scram", "authority", "-addext keyUsage=digitalSignature");
    let hba = "hostssl all scram 127.0.0.1/32 cert\n";
    let server = tls_server(hba, &certificates.settings("server", "authority")).await;
    let with = |name: &str| {
        let path = |end| {
            certificates
                .path(&format!("{name}.{end}"))
                .display()
                .to_string()
        };
        let (certificate, key) = (path("crt"), path("key"));
        server.url_with(
            "scram",
            &format!("sslmode=require&sslcert={certificate}&sslkey={key}"),
        )
    };
    assert!(is_encrypted(&with("scram")).await);
    assert!(connect(&with("stranger")).await.is_err());
    let mut swapped = with("scram");
    swapped.tls.key = Some(certificates.path("stranger.key"));
    assert!(refusal(&swapped).await.contains("sslkey="));
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let server = Server::start(&[]).await;
    assert!(!is_encrypted(&server.url_with("postgres", "sslmode=prefer")).await);
    assert!(
        refusal(&server.url_with("postgres", "sslmode=require"))
            .await
            .contains("does not offer")
    );
    let mut reader = Reader::start(config(server.url_with("postgres", "sslmode=verify-full")));
    reader.end().await;
    assert_eq!(reader.state(), "source_misconfigured");
    assert!(reader.told().contains("ssl = on"), "{}", reader.told());
}

#[tokio::test]
async fn where_one_protection_is_refused_the_other_is_tried() {
    let certificates = Certificates::new();
    certificates.self_signed("server", "");
    let hba = "hostssl all scram all scram-sha-256\nhostnossl all md5 all md5\n";
    let server = tls_server(hba, &certificates.settings("server", "server")).await;
    assert!(is_encrypted(&server.url_with("scram:pass:word", "sslmode=allow")).await);
    assert!(!is_encrypted(&server.url_with("md5:pass:word", "sslmode=prefer")).await);
}
