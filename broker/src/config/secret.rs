//! Where a password is read from. It never stands in the configuration file itself.

use std::{fmt, io::Read, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

use crate::limits::PASSWORD_BYTES_MAX;

/// `{ file = "PATH" }` or `{ env = "NAME" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordFrom {
    /// The file's content without its last line break.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

impl PasswordFrom {
    /// Reads it.
    ///
    /// # Errors
    /// One line that names the file or variable, never what is in it.
    pub fn read(&self) -> Result<String, String> {
        let password = match self {
            Self::File(path) => read_file(path).map_err(|error| {
                format!("cannot read the password file {}: {error}", path.display())
            })?,
            Self::Env(name) => std::env::var(name).map_err(|_| {
                format!("the environment variable {name} of the password is not set")
            })?,
        };
        if password.is_empty() {
            return Err(format!("the password in {self} is empty"));
        }
        Ok(password)
    }
}

impl fmt::Display for PasswordFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}

fn read_file(path: &PathBuf) -> std::io::Result<String> {
    without_line_break(std::fs::File::open(path)?)
}

/// All of it, at most [`PASSWORD_BYTES_MAX`], without the last line break.
pub(crate) fn without_line_break(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(PASSWORD_BYTES_MAX).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// By hand, because a derived one would repeat a password that was written in place of the table.
impl<'de> Deserialize<'de> for PasswordFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PasswordVisitor)
    }
}

struct PasswordVisitor;

const FORM: &str = "write password = { file = \"PATH\" } or { env = \"NAME\" }";

impl<'de> Visitor<'de> for PasswordVisitor {
    type Value = PasswordFrom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)
    }

    fn visit_str<E: Error>(self, _secret: &str) -> Result<PasswordFrom, E> {
        Err(E::custom(format!(
            "a password does not stand in this file: {FORM}"
        )))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<PasswordFrom, M::Error> {
        let place = match map.next_key::<String>()?.as_deref() {
            Some("file") => PasswordFrom::File(map.next_value()?),
            Some("env") => PasswordFrom::Env(map.next_value()?),
            Some(_) | None => return Err(M::Error::custom(FORM)),
        };
        match map.next_key::<String>()? {
            Some(_) => Err(M::Error::custom(FORM)),
            None => Ok(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_password_file_loses_its_line_break_only() {
        for (content, expected) in [
            ("p w\n", "p w"),
            ("p\r\n", "p"),
            (" p ", " p "),
            ("p\n\n", "p\n"),
        ] {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            file.write_all(content.as_bytes()).expect("written");
            let read = PasswordFrom::File(file.path().to_owned()).read();
            assert_eq!(read.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn missing_and_empty_passwords_are_named_by_their_place() {
        let missing = PasswordFrom::File("/does/not/exist".into()).read();
        assert!(missing.is_err_and(|line| line.contains("/does/not/exist")));
        let unset = PasswordFrom::Env("HEADWATER_NO_SUCH_VARIABLE".to_owned()).read();
        assert!(unset.is_err_and(|line| line.contains("HEADWATER_NO_SUCH_VARIABLE")));
        let empty = tempfile::NamedTempFile::new().expect("a temporary file");
        assert!(PasswordFrom::File(empty.path().to_owned()).read().is_err());
    }
}
