//! Where a password comes from when the URL has none: `PGPASSWORD`, then the password file.
//!
//! File format, one entry a line, the first that fits wins, `*` fits all, `\` escapes `:` and `\`:
//! `hostname:port:database:username:password`. As libpq, a file that others may read is not used.
//! Manual: "The Password File".
//!
//! A file is read again at each login ([`PasswordReader`]): a password that was changed at the server is mended by changing
//! it there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::url::{Host, Password, SourceUrl};

/// A password file larger than this is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The environment's part in finding a password. The broker fills it with [`PasswordSources::from_environment`];
/// tests by hand.
#[derive(Clone, Default)]
pub struct PasswordSources {
    /// `PGPASSWORD`
    pub password: Option<Password>,
    /// `PGPASSFILE`, or `.pgpass` in the home directory.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for PasswordSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordSources")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Reads a password anew, at each login. Blocks for as long as a small file takes.
#[derive(Clone)]
pub struct PasswordReader(Arc<dyn Fn() -> Result<Password, String> + Send + Sync>);

impl PasswordReader {
    /// `read` gives the present password, or one line that says why there is none.
    pub fn new(read: impl Fn() -> Result<Password, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The present password.
    ///
    /// # Errors
    /// One line: why there is none.
    pub fn read(&self) -> Result<Password, String> {
        (self.0)()
    }
}

impl fmt::Debug for PasswordReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordReader")
    }
}

/// The same one.
impl PartialEq for PasswordReader {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PasswordReader {}

/// A password file that exists and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// It cannot be read.
    #[error("password file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("password file {path} may be read by others: chmod 600 {path}")]
    Permissions {
        /// The file.
        path: String,
    },
    /// It is far too large.
    #[error("password file {path} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The file.
        path: String,
    },
}

impl PasswordSources {
    /// Reads `PGPASSWORD`, `PGPASSFILE` and `HOME`.
    pub fn from_environment() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let password = set("PGPASSWORD").and_then(|value| value.into_string().ok());
        let in_home = || set("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
        Self {
            password: password.map(Password::new),
            file: set("PGPASSFILE").map(PathBuf::from).or_else(in_home),
        }
    }

    /// The URL with its own password, else the environment's, else the file's, else as it was.
    ///
    /// # Errors
    /// The file exists and cannot be used: better told than a login without password.
    pub fn complete(&self, url: SourceUrl) -> Result<SourceUrl, PasswordFileError> {
        if url.password.is_some() {
            return Ok(url);
        }
        if let Some(password) = &self.password {
            return Ok(url.with_password(password.clone()));
        }
        let Some(path) = &self.file else {
            return Ok(url);
        };
        let Some(text) = read(path)? else {
            return Ok(url);
        };
        Ok(match find(&text, &url) {
            Some(password) => {
                let reader = again(path.clone(), url.clone());
                url.with_password(Password::new(password))
                    .with_password_reader(reader)
            }
            None => url,
        })
    }
}

/// Looks the entry up again.
fn again(path: PathBuf, url: SourceUrl) -> PasswordReader {
    PasswordReader::new(move || {
        let text = read(&path).map_err(|error| error.to_string())?;
        let password = text.and_then(|text| find(&text, &url));
        let none = || {
            format!(
                "password file {} has no entry for it any more",
                path.display()
            )
        };
        password.map(Password::new).ok_or_else(none)
    })
}

/// The file's text; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>, PasswordFileError> {
    use std::os::unix::fs::PermissionsExt;
    let shown = || path.display().to_string();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(PasswordFileError::Read {
                path: shown(),
                source,
            });
        }
    };
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        return Err(PasswordFileError::Permissions { path: shown() });
    }
    if !metadata.is_file() {
        // libpq too ignores what is not a plain file: PGPASSFILE=/dev/null switches it off.
        return Ok(None);
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(PasswordFileError::TooLarge { path: shown() });
    }
    let bytes = std::fs::read(path);
    let bytes = bytes.map_err(|source| PasswordFileError::Read {
        path: shown(),
        source,
    })?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The password of the first entry that fits.
fn find(text: &str, url: &SourceUrl) -> Option<String> {
    let port = url.port.to_string();
    // A socket in the default directory is "localhost" in the file.
    let host = match &url.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(directory) => match directory.to_str() {
            Some("/tmp" | "/var/run/postgresql") | None => "localhost".to_owned(),
            Some(other) => other.to_owned(),
        },
    };
    let wanted = [host.as_str(), &port, &url.database, &url.user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let fields = split_entry(line)?;
            let (password, names) = fields.split_last()?;
            let fits = names
                .iter()
                .zip(wanted)
                .all(|(field, wanted)| field == "*" || field == wanted);
            fits.then(|| password.clone())
        })
}

/// The five fields, unescaped. The password is the rest of the line.
fn split_entry(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let mut current = 0;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if current < 4 => current += 1,
            '\\' => fields.get_mut(current)?.extend(characters.next()),
            other => fields.get_mut(current)?.push(other),
        }
    }
    (current == 4).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> SourceUrl {
        SourceUrl::parse("postgres://app@db:6432/shop").unwrap()
    }

    #[test]
    fn the_first_entry_that_fits_wins() {
        let file = "# comment\nother:*:*:*:no\ndb:5432:*:*:no\ndb:6432:*:app:yes\n*:*:*:*:late\n";
        assert_eq!(find(file, &url()).as_deref(), Some("yes"));
        assert_eq!(find("db:6432:shop:other:no", &url()), None);
        assert_eq!(find("nonsense", &url()), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        assert_eq!(
            find(r"*:*:*:*:a\:b\\c:d", &url()).as_deref(),
            Some(r"a:b\c:d")
        );
    }

    #[test]
    fn the_default_socket_directory_is_localhost() {
        let url = SourceUrl::parse("postgres://app@/shop?host=/var/run/postgresql").unwrap();
        assert_eq!(
            find("localhost:5432:shop:app:yes", &url).as_deref(),
            Some("yes")
        );
    }

    #[test]
    fn the_urls_own_password_comes_first_and_the_environment_second() {
        let sources = PasswordSources {
            password: Some(Password::new("environment")),
            file: Some("/nonexistent/file".into()),
        };
        let own = sources
            .complete(url().with_password(Password::new("own")))
            .unwrap();
        assert_eq!(own.password, Some(Password::new("own")));
        let found = sources.complete(url()).unwrap();
        assert_eq!(found.password, Some(Password::new("environment")));
        assert!(!format!("{sources:?}").contains("environment"));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("headwater-pgpass-{}", std::process::id()));
        std::fs::write(&path, "*:*:*:*:yes\n").unwrap();
        let sources = PasswordSources {
            password: None,
            file: Some(path.clone()),
        };
        let mut outcomes = Vec::new();
        for mode in [0o644, 0o600] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            outcomes.push(sources.complete(url()).map(|url| url.password));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            &outcomes[0],
            Err(PasswordFileError::Permissions { .. })
        ));
        assert!(matches!(&outcomes[1], Ok(Some(password)) if *password == Password::new("yes")));
    }

    #[test]
    fn a_missing_file_is_no_error() {
        let sources = PasswordSources {
            password: None,
            file: Some("/nonexistent/file".into()),
        };
        assert_eq!(sources.complete(url()).unwrap().password, None);
    }
}
