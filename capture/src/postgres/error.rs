//! What can go wrong between us and a server, and what each case means for the source's state.
//!
//! Three steps: [`ServerError`] is what the server said, [`ConnectionError`] what happened to a connection,
//! [`Failure`] what follows from it: try again, or tell a person one line that names the thing and the fix.
//! The table of SQLSTATEs is [`Failure::from_server`]; nothing else in the crate matches on a server's text.

use std::io;
use std::time::Duration;

use super::message::{MessageError, split_nul};
use super::position::Lsn;

/// Longest text taken over from the server: it is shown and logged.
const TEXT_BYTES_MAX: usize = 1_000;

/// A five-character error code. Manual: "PostgreSQL Error Codes".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// insufficient_privilege
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    /// undefined_object: a publication, slot or role that does not exist
    pub const UNDEFINED_OBJECT: Self = Self(*b"42704");
    /// duplicate_object
    pub const DUPLICATE_OBJECT: Self = Self(*b"42710");
    /// undefined_table
    pub const UNDEFINED_TABLE: Self = Self(*b"42P01");
    /// object_not_in_prerequisite_state: wal_level, invalidated slot, publication not loaded
    pub const NOT_IN_PREREQUISITE_STATE: Self = Self(*b"55000");
    /// invalid_authorization_specification: pg_hba.conf, role that may not log in
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
}

impl std::fmt::Display for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// An ErrorResponse or NoticeResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// ERROR, FATAL, PANIC, WARNING and so on; not localised where the server says (9.6 and later).
    pub severity: String,
    /// The error's code.
    pub sqlstate: SqlState,
    /// The primary message, in the server's language.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What the server proposes.
    pub hint: Option<String>,
}

impl ServerError {
    /// Reads the fields: `type u8, text NUL` repeated, ended by a NUL. `None` if they are cut short.
    pub(crate) fn parse(mut body: &[u8]) -> Option<Self> {
        let mut error = Self {
            severity: String::new(),
            sqlstate: SqlState(*b"XX000"),
            message: String::new(),
            detail: None,
            hint: None,
        };
        let mut severity_is_plain = false;
        loop {
            let (&field, rest) = body.split_first()?;
            if field == 0 {
                return Some(error);
            }
            let (value, rest) = split_nul(rest)?;
            match field {
                b'V' => (error.severity, severity_is_plain) = (printable(value), true),
                b'S' if !severity_is_plain => error.severity = printable(value),
                b'C' => error.sqlstate = value.try_into().map(SqlState).unwrap_or(error.sqlstate),
                b'M' => error.message = printable(value),
                b'D' => error.detail = Some(printable(value)),
                b'H' => error.hint = Some(printable(value)),
                _ => {}
            }
            body = rest;
        }
    }
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        write!(f, " sqlstate={}", self.sqlstate)
    }
}

/// Foreign text on one line, without control characters, cut to a bounded length.
fn printable(bytes: &[u8]) -> String {
    let bytes = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// What ended a connection, or kept it from coming about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The name has no address, or the socket could not be connected or failed later.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer from the server, stage={what} waited_s={}", after.as_secs())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// Bytes that are no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message that must not come here.
    #[error("unexpected message from the server, stage={stage} tag={}", tag.escape_ascii())]
    Unexpected {
        /// What we were doing.
        stage: &'static str,
        /// The message's tag.
        tag: u8,
    },
    /// The server said no.
    #[error("{0}")]
    Server(Box<ServerError>),
    /// TLS was demanded and did not come about.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The login cannot go on from our side.
    #[error(transparent)]
    Login(#[from] LoginError),
}

impl ConnectionError {
    /// For `map_err`: an I/O error with what was done.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// The server's code, if the server said something.
    pub fn sqlstate(&self) -> Option<SqlState> {
        match self {
            Self::Server(error) => Some(error.sqlstate),
            Self::Io { .. }
            | Self::Timeout { .. }
            | Self::Closed
            | Self::Message(_)
            | Self::Unexpected { .. }
            | Self::Tls(_)
            | Self::Login(_) => None,
        }
    }
}

/// Why there is no TLS connection as `sslmode` demands it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The server has TLS switched off.
    #[error("the server does not offer TLS")]
    NotOffered,
    /// A certificate or key file cannot be used.
    #[error("{parameter}={path}: {problem}")]
    File {
        /// The URL parameter that names the file.
        parameter: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The host is neither a name nor an address that a certificate can hold.
    #[error("{0:?} is no host name that a certificate could be checked for")]
    HostName(String),
    /// The handshake failed; the text is rustls' own.
    #[error("{0}")]
    Handshake(String),
    /// The handshake failed because the server's certificate is not accepted.
    #[error("certificate not accepted: {0}")]
    Certificate(String),
}

/// Why we do not go on with a login.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoginError {
    /// The server wants a password and there is none.
    #[error("the server asks for a password and none was given")]
    NoPassword,
    /// The password is to be read anew and cannot be.
    #[error("{0}")]
    Password(String),
    /// The server wants the password in clear and the connection is not verified TLS.
    #[error("the server asks for the password in clear, and the connection is not verified TLS")]
    ClearPassword,
    /// GSSAPI, SSPI or another method that we do not have.
    #[error("the server asks for authentication method {0}, which is not supported")]
    Method(String),
    /// SCRAM failed on our side: the server could not prove that it knows the password.
    #[error("the server failed to prove that it knows the password: {0}")]
    Scram(String),
    /// `channel_binding=require` and the server or the connection has none.
    #[error("channel binding is required and not available")]
    ChannelBinding,
}

/// What a failure means for the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// It may heal by itself: try again with back-off.
    Retry,
    /// The login or a privilege was refused.
    Refused,
    /// Something on the server or in our configuration must be changed first.
    Misconfigured,
    /// Changes are lost for good: only a resync goes on from here.
    NeedsResync,
    /// The server cannot send a row: its message would be over 1 GB in the form that was asked for.
    RowTooLargeToSend,
    /// A row can be read in no form.
    RowUnreadable,
    /// A record is over the configured limit, and the configuration says to stop there.
    RecordTooLarge,
}

/// One line for a person: what is wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What follows.
    pub class: FailureClass,
    /// What is wrong.
    pub reason: String,
    /// What to do; empty where waiting is all there is to do.
    pub fix: String,
}

/// The names that a [`Failure`] speaks of.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) server: String,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) instance: String,
}

impl Failure {
    pub(crate) fn retry(reason: impl Into<String>) -> Self {
        Self {
            class: FailureClass::Retry,
            reason: reason.into(),
            fix: String::new(),
        }
    }

    pub(crate) fn refused(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            class: FailureClass::Refused,
            reason: reason.into(),
            fix: fix.into(),
        }
    }

    pub(crate) fn misconfigured(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            class: FailureClass::Misconfigured,
            reason: reason.into(),
            fix: fix.into(),
        }
    }

    pub(crate) fn needs_resync(reason: impl Into<String>, names: &Names) -> Self {
        let fix = format!("headwater instance resync {} --from now", names.instance);
        Self {
            class: FailureClass::NeedsResync,
            reason: reason.into(),
            fix,
        }
    }

    /// What a failed connection, or a failed statement on it, means.
    pub(crate) fn from_connection(error: &ConnectionError, names: &Names) -> Self {
        let server = &names.server;
        match error {
            ConnectionError::Server(error) => Self::from_server(error, names),
            ConnectionError::Login(login) => Self::from_login(login, names),
            ConnectionError::Tls(TlsError::NotOffered) => Self::misconfigured(
                format!("{server} does not offer TLS and sslmode demands it"),
                "set ssl = on in postgresql.conf, or use sslmode=prefer",
            ),
            ConnectionError::Tls(
                tls @ (TlsError::File { .. } | TlsError::HostName(_) | TlsError::Certificate(_)),
            ) => Self::refused(
                format!("{server}: TLS: {tls}"),
                "check sslmode, sslrootcert, sslcert and sslkey in the source's URL",
            ),
            ConnectionError::Tls(tls @ TlsError::Handshake(_)) => {
                Self::retry(format!("{server}: TLS: {tls}"))
            }
            ConnectionError::Io { .. }
            | ConnectionError::Timeout { .. }
            | ConnectionError::Closed
            | ConnectionError::Message(_)
            | ConnectionError::Unexpected { .. } => Self::retry(format!("{server}: {error}")),
        }
    }

    fn too_large_to_send(error: &ServerError, names: &Names) -> Self {
        Self {
            class: FailureClass::RowTooLargeToSend,
            reason: format!("{} cannot send a row: {error}", names.server),
            fix: String::new(),
        }
    }

    /// A row that stands in the way, in the transaction that commits at `commit_lsn`. `fix`: what may be done before
    /// giving the transaction up.
    pub(crate) fn row_unreadable(
        reason: impl Into<String>,
        fix: &str,
        (commit_lsn, names): (u64, &Names),
    ) -> Self {
        let resync = format!(
            "to go on without that transaction: headwater instance resync {} --from {} --force",
            names.instance,
            Lsn(commit_lsn + 1)
        );
        Self {
            class: FailureClass::RowUnreadable,
            reason: reason.into(),
            fix: if fix.is_empty() {
                resync
            } else {
                format!("{fix}; {resync}")
            },
        }
    }

    fn from_login(error: &LoginError, names: &Names) -> Self {
        let Names { server, user, .. } = names;
        let fix = match error {
            LoginError::Password(_) => "mend it: it is read again at each attempt",
            LoginError::NoPassword => "give it by PGPASSWORD, a password file, or the source's URL",
            LoginError::ClearPassword => {
                "use sslmode=verify-full, or scram-sha-256 in the server's pg_hba.conf"
            }
            LoginError::Method(_) => {
                "allow scram-sha-256 for this user in the server's pg_hba.conf"
            }
            LoginError::Scram(_) => "check the password, and that this is the right server",
            LoginError::ChannelBinding => "use sslmode=verify-full, or channel_binding=prefer",
        };
        Self::refused(
            format!("login of user \"{user}\" at {server}: {error}"),
            fix,
        )
    }

    /// The one table from SQLSTATE to consequence.
    pub(crate) fn from_server(error: &ServerError, names: &Names) -> Self {
        let Names {
            server,
            user,
            database,
            slot,
            publication,
            ..
        } = names;
        let said = &error.message;
        match &error.sqlstate.0 {
            b"28P01" => Self::refused(
                format!("{server} refused the password of user \"{user}\""),
                "check the user in the source's URL and the password in PGPASSWORD or the password file",
            ),
            b"28000" => Self::refused(
                format!("{server} refused user \"{user}\": {said}"),
                format!(
                    "let pg_hba.conf accept it (database {database} for SQL and replication), and check that the role exists with LOGIN"
                ),
            ),
            b"3D000" => Self::misconfigured(
                format!("database \"{database}\" does not exist at {server}"),
                "name an existing database in the source's URL",
            ),
            b"42501" => Self::refused(
                format!("user \"{user}\" lacks a privilege at {server}: {said}"),
                format!(
                    "as a superuser: ALTER ROLE {} REPLICATION",
                    super::query::identifier(user)
                ),
            ),
            b"53400" => Self::misconfigured(
                format!("no replication slot is free at {server}: {said}"),
                "raise max_replication_slots and restart PostgreSQL, or drop a slot that nobody needs (SELECT slot_name, active FROM pg_replication_slots)",
            ),
            b"42704" => Self::misconfigured(
                format!("{server}: {said}"),
                format!(
                    "the change log needs publication \"{publication}\" and slot \"{slot}\"; what was changed while one was missing cannot be read: headwater instance resync {} --from now",
                    names.instance
                ),
            ),
            b"42602" => Self::misconfigured(
                format!("{server}: {said}"),
                "choose a slot name of lower case letters, digits and _, of at most 63 bytes",
            ),
            b"58P01" => Self::needs_resync(format!("{server}: {said}"), names),
            // elog and StringInfo of every version: neither is ever translated.
            b"XX000" if said.starts_with("invalid memory alloc request size") => {
                Self::too_large_to_send(error, names)
            }
            b"54000" => Self::too_large_to_send(error, names),
            b"0A000" => {
                Self::misconfigured(format!("{server}: {said}"), "use PostgreSQL 10 or later")
            }
            _ => Self::retry(format!("{server}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            server: "db:5432".into(),
            user: "cdc".into(),
            database: "shop".into(),
            slot: "headwater_shop".into(),
            publication: "headwater_shop".into(),
            instance: "shop".into(),
        }
    }

    fn said(sqlstate: [u8; 5]) -> ServerError {
        let body = [
            b"SERROR\0VERROR\0C".as_slice(),
            &sqlstate,
            b"\0Mno\nway\0Dbecause\0\0",
        ]
        .concat();
        ServerError::parse(&body).unwrap()
    }

    #[test]
    fn every_field_is_read_and_control_characters_are_gone() {
        let error = said(*b"42501");
        assert_eq!(
            (error.message.as_str(), error.detail.as_deref()),
            ("no way", Some("because"))
        );
        assert_eq!(error.to_string(), "no way (because) sqlstate=42501");
    }

    #[test]
    fn fields_cut_anywhere_are_not_an_error_response() {
        let body = b"SERROR\0C42501\0Mno\0\0";
        for cut in 0..body.len() {
            assert_eq!(ServerError::parse(&body[..cut]), None);
        }
    }

    #[test]
    fn each_sqlstate_has_its_consequence_and_names_thing_and_fix() {
        let table = [
            (*b"28P01", FailureClass::Refused, "cdc", "PGPASSWORD"),
            (*b"28000", FailureClass::Refused, "cdc", "pg_hba.conf"),
            (*b"3D000", FailureClass::Misconfigured, "shop", "URL"),
            (
                *b"42501",
                FailureClass::Refused,
                "cdc",
                "ALTER ROLE \"cdc\" REPLICATION",
            ),
            (
                *b"53400",
                FailureClass::Misconfigured,
                "slot",
                "max_replication_slots",
            ),
            (
                *b"42704",
                FailureClass::Misconfigured,
                "no way",
                "headwater_shop",
            ),
            (
                *b"58P01",
                FailureClass::NeedsResync,
                "no way",
                "resync shop",
            ),
            (*b"55006", FailureClass::Retry, "no way", ""),
            (*b"57P03", FailureClass::Retry, "no way", ""),
            (*b"53300", FailureClass::Retry, "no way", ""),
        ];
        for (sqlstate, class, thing, fix) in table {
            let failure = Failure::from_server(&said(sqlstate), &names());
            assert_eq!(failure.class, class, "{failure:?}");
            assert!(
                failure.reason.contains(thing) && failure.fix.contains(fix),
                "{failure:?}"
            );
        }
    }
}
