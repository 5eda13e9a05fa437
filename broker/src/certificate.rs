//! The certificate of a TLS listener: read from two files, read again on request. TLS 1.2 and 1.3, by rustls with the
//! ring provider (passed by hand, never installed). Clients are not asked for a certificate.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{config::TlsFiles, limits::PEM_BYTES_MAX};

/// What TLS handshakes of one listener use now.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, String> {
        Ok(Self {
            files: files.clone(),
            config: RwLock::new(server_config(files)?),
        })
    }

    /// For one handshake.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }

    /// Reads the files again, for handshakes from now on. If they are not good, all stays as it is.
    ///
    /// # Errors
    /// As [`Certificate::load`].
    pub(crate) fn reload(&self) -> Result<(), String> {
        let fresh = server_config(&self.files)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Where the certificate is.
    pub(crate) fn path(&self) -> &Path {
        &self.files.certificate
    }
}

fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let chain = chain(&files.certificate)?;
    let key = private_key(&files.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    config.map(Arc::new).map_err(|error| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!("certificate {certificate} and key {key} do not make a pair: {error}")
    })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path, "certificate")?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| not_pem(path, "certificate", &error))?;
    if chain.is_empty() {
        return Err(format!(
            "certificate {} has no PEM certificate in it (-----BEGIN CERTIFICATE-----)",
            path.display()
        ));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(path, "key")?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        format!(
            "key {} has no usable PEM private key in it (PKCS#8, PKCS#1 or SEC1, without password): {error}",
            path.display()
        )
    })
}

fn not_pem(path: &Path, what: &str, error: &rustls::pki_types::pem::Error) -> String {
    format!("{what} {} is not PEM: {error}", path.display())
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, String> {
    let told = |why: String| format!("cannot read the {what} {}: {why}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| told(error.to_string()))?;
    let size = file
        .take(PEM_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| told(error.to_string()))?;
    if size as u64 > PEM_BYTES_MAX {
        return Err(told("it is larger than 1 MiB".to_owned()));
    }
    Ok(bytes)
}
