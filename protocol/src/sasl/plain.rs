//! PLAIN (RFC 4616): `[authorization id] NUL user name NUL password` in one token.
//!
//! The authorization id must be empty or the user name, as in Kafka (`PlainSaslServer`): nobody acts for another.

use std::fmt;

use super::{PASSWORD_BYTES_MAX, SaslError, USER_NAME_BYTES_MAX, text};

/// A user name and the password that shall belong to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PlainLogin<'a> {
    /// Who, as the client wrote it; not empty.
    pub user_name: &'a str,
    /// Not empty.
    pub password: &'a str,
}

/// Without the password.
impl fmt::Debug for PlainLogin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainLogin")
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

impl<'a> PlainLogin<'a> {
    /// Reads the one token of PLAIN.
    ///
    /// # Errors
    /// [`SaslError`]: not three parts, an empty name or password, a part that is too long, another's id.
    pub fn parse(token: &'a [u8]) -> Result<Self, SaslError> {
        let mut parts = text(token)?.split('\0');
        let (Some(authorization_id), Some(user_name), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslError::Malformed("not three parts"));
        };
        if user_name.is_empty() {
            return Err(SaslError::Malformed("no user name"));
        }
        if password.is_empty() {
            return Err(SaslError::Malformed("no password"));
        }
        if user_name.len() > USER_NAME_BYTES_MAX {
            return Err(SaslError::TooLong("user name"));
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(SaslError::TooLong("password"));
        }
        if !authorization_id.is_empty() && authorization_id != user_name {
            return Err(SaslError::AuthorizationId);
        }
        Ok(Self {
            user_name,
            password,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_are_read_as_they_came() {
        for token in [
            "\0team-orders\0p w,=\u{e9}",
            "team-orders\0team-orders\0p w,=\u{e9}",
        ] {
            let login = PlainLogin::parse(token.as_bytes()).expect("it is well formed");
            assert_eq!(
                (login.user_name, login.password),
                ("team-orders", "p w,=\u{e9}")
            );
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let long_name = format!("\0{}\0p", "n".repeat(USER_NAME_BYTES_MAX + 1));
        let long_password = format!("\0n\0{}", "p".repeat(PASSWORD_BYTES_MAX + 1));
        let long = format!("\0n\0{}", "p".repeat(super::super::TOKEN_BYTES_MAX));
        for (token, error) in [
            (&b""[..], SaslError::Malformed("not three parts")),
            (b"name", SaslError::Malformed("not three parts")),
            (b"\0name", SaslError::Malformed("not three parts")),
            (b"\0name\0pass\0", SaslError::Malformed("not three parts")),
            (b"\0\0pass", SaslError::Malformed("no user name")),
            (b"\0name\0", SaslError::Malformed("no password")),
            (b"root\0name\0pass", SaslError::AuthorizationId),
            (b"\0name\0\xff", SaslError::Malformed("not UTF-8")),
            (long_name.as_bytes(), SaslError::TooLong("user name")),
            (long_password.as_bytes(), SaslError::TooLong("password")),
            (long.as_bytes(), SaslError::TooLong("message")),
        ] {
            assert_eq!(PlainLogin::parse(token), Err(error));
        }
    }

    #[test]
    fn a_password_is_not_shown_for_debugging() {
        let login = PlainLogin::parse(b"\0name\0secret").expect("it is well formed");
        assert!(!format!("{login:?}").contains("secret"));
    }
}
