//! A certificate for 127.0.0.1 and localhost that is its own authority, by openssl.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

/// Certificate and key, removed when dropped.
#[derive(Debug)]
pub struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Self {
        let certificate = Self {
            directory: tempfile::tempdir().expect("a temporary directory can be made"),
        };
        certificate.renew();
        certificate
    }

    /// Another key and certificate in the same files.
    pub fn renew(&self) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args([
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(self.key())
            .arg("-out")
            .arg(self.path())
            .output()
            .unwrap_or_else(|error| panic!("openssl: {error}: run scripts/install first"));
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl: {said}");
    }

    /// The certificate file, to be shown and to be trusted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Its key file.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// A copy of the certificate as it is now, under another name beside it.
    #[must_use]
    pub fn copy(&self, name: &str) -> PathBuf {
        let copy = self.directory.path().join(name);
        fs::copy(self.path(), &copy).expect("the directory is ours");
        copy
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}
