//! TLS as libpq's `sslmode` means it, by rustls with the ring provider (passed by hand, never installed).
//!
//! | sslmode | certificate |
//! |---|---|
//! | allow, prefer, require without sslrootcert | not checked |
//! | require with sslrootcert, verify-ca | signed by one of the authorities |
//! | verify-full | and issued for the host, name or address |
//!
//! Differences from libpq: without `sslrootcert` the system's authorities count (libpq looks for
//! `~/.postgresql/root.crt`); a name must stand in subjectAltName (libpq also takes the common name).
//! Like libpq, a certificate that is itself listed in `sslrootcert` is trusted, whatever kind it is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate;
use super::error::{ConnectionError, TlsError};
use super::url::{RootCertificates, SslMode, TlsSettings};

/// A TLS connection and what it is good for.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<TcpStream>,
    /// The server's certificate was checked: a password in clear may be sent.
    pub(crate) verified: bool,
    /// The certificate's hash for SCRAM-SHA-256-PLUS.
    pub(crate) end_point: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Authority,
    AuthorityAndHost,
}

/// Makes a connection that the server has agreed to protect a protected one.
///
/// # Errors
/// Unreadable files, a certificate that is not accepted, a handshake that fails.
pub(crate) async fn secure(
    stream: TcpStream,
    host: &str,
    settings: &TlsSettings,
) -> Result<Secured, ConnectionError> {
    let check = check(settings);
    let verifier = Arc::new(Verifier::new(check, settings)?);
    let config = Arc::new(client_config(Arc::clone(&verifier), settings)?);
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| TlsError::HostName(host.to_owned()))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    let stream = connected.map_err(|error| handshake_error(&error))?;
    let possession_proven = !verifier.signature_unchecked.load(Ordering::Relaxed);
    let certificates = stream.get_ref().1.peer_certificates();
    let first = certificates
        .and_then(|all| all.first())
        .filter(|_| possession_proven);
    let end_point = first.and_then(|certificate| certificate::end_point(certificate));
    Ok(Secured {
        stream,
        verified: check != Check::Nothing,
        end_point,
    })
}

fn check(settings: &TlsSettings) -> Check {
    match settings.mode {
        SslMode::VerifyFull => Check::AuthorityAndHost,
        SslMode::VerifyCa => Check::Authority,
        SslMode::Require if settings.root.is_some() => Check::Authority,
        SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => Check::Nothing,
    }
}

fn handshake_error(error: &std::io::Error) -> TlsError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(problem)) => TlsError::Certificate(problem.to_string()),
        Some(other) => TlsError::Handshake(other.to_string()),
        None => TlsError::Handshake(error.to_string()),
    }
}

fn client_config(
    verifier: Arc<Verifier>,
    settings: &TlsSettings,
) -> Result<ClientConfig, ConnectionError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Handshake(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = read_certificates("sslcert", certificate)?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| file_error("sslkey", key, &error))?;
    let config = builder.with_client_auth_cert(chain, private);
    Ok(config.map_err(|error| file_error("sslkey", key, &error))?)
}

fn read_certificates(
    parameter: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(file_error(
            parameter,
            path,
            &"holds no certificate in PEM form",
        )),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(file_error(parameter, path, &error)),
    }
}

fn file_error(parameter: &'static str, path: &Path, problem: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        parameter,
        path: path.display().to_string(),
        problem: problem.to_string(),
    }
}

/// The authorities to trust, and the certificates listed by themselves.
fn trusted(
    root: Option<&RootCertificates>,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let mut store = RootCertStore::empty();
    if let Some(RootCertificates::File(path)) = root {
        let listed = read_certificates("sslrootcert", path)?;
        store.add_parsable_certificates(listed.iter().cloned());
        return Ok((store, listed));
    }
    // One unreadable file of the system's is no reason to refuse the others.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok((store, Vec::new()))
}

/// Checks the server's certificate as far as `sslmode` wants.
#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
    /// `None` where nothing is checked, or no listed certificate can be an authority.
    authority: Option<Arc<WebPkiServerVerifier>>,
    listed: Vec<CertificateDer<'static>>,
    /// The server's key could not be read from its certificate (X.509 version 1, as many self-made ones are),
    /// and nothing was demanded of it: the connection is private, but the certificate proves nothing.
    signature_unchecked: AtomicBool,
}

impl Verifier {
    fn new(check: Check, settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (store, listed) = match check {
            Check::Nothing => (RootCertStore::empty(), Vec::new()),
            Check::Authority | Check::AuthorityAndHost => trusted(settings.root.as_ref())?,
        };
        let authority = if store.is_empty() {
            None
        } else {
            let builder =
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
            Some(
                builder
                    .build()
                    .map_err(|error| TlsError::Certificate(error.to_string()))?,
            )
        };
        let signature_unchecked = AtomicBool::new(false);
        Ok(Self {
            check,
            provider,
            authority,
            listed,
            signature_unchecked,
        })
    }

    /// A certificate that stands in `sslrootcert` itself: only its dates are left to check.
    fn verify_listed(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match certificate::validity(certificate) {
            None => Err(CertificateError::BadEncoding.into()),
            Some((from, _)) if now < from => Err(CertificateError::NotValidYet.into()),
            Some((_, until)) if now > until => Err(CertificateError::Expired.into()),
            Some(_) => Ok(()),
        }
    }

    fn signature(
        &self,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verified {
            Err(Error::InvalidCertificate(_)) if self.check == Check::Nothing => {
                self.signature_unchecked.store(true, Ordering::Relaxed);
                Ok(HandshakeSignatureValid::assertion())
            }
            other => other,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        if self.listed.contains(end_entity) {
            self.verify_listed(end_entity, now)?;
            if self.check == Check::AuthorityAndHost {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let Some(authority) = &self.authority else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let verified = authority.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // webpki checks the chain first: when only the name is wrong, the chain is right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Authority => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.signature(verify_tls12_signature(
            message,
            certificate,
            signature,
            algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.signature(verify_tls13_signature(
            message,
            certificate,
            signature,
            algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
