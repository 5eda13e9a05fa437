//! [`ScramVerifier`]: what a server keeps in place of a password (RFC 5802, section 3).
//!
//! ```text
//! SaltedPassword = PBKDF2(HMAC-H, password, salt, iterations)
//! StoredKey      = H(HMAC(SaltedPassword, "Client Key"))
//! ServerKey      = HMAC(SaltedPassword, "Server Key")
//! ```
//!
//! Who steals it cannot log in, but can try passwords at the price of `iterations` each.

use std::{fmt, num::NonZeroU32, ops::RangeInclusive};

use ring::{
    digest, hmac,
    pbkdf2::{self, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512},
};
use subtle::ConstantTimeEq;

use super::ScramMechanism;

/// Rounds of PBKDF2 of new verifiers. Twice the least that RFC 7677 and Kafka's clients accept (4,096), and half of
/// the most that Kafka stores (16,384), so that every client takes it. The client pays it at each connection (some
/// ms, in a cold JVM some ten), we at each PLAIN login whose password is not remembered.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(8_192).expect("not zero");

/// What a verifier may have. Below, Java clients refuse to log in; above, a login would hold a processor.
pub const ITERATIONS_RANGE: RangeInclusive<u32> = 4_096..=1_000_000;

/// Bytes of the salt of new verifiers.
pub const SALT_BYTES: usize = 16;

/// What a salt may have, bytes.
const SALT_BYTES_RANGE: RangeInclusive<usize> = 8..=64;

/// Longest hash, bytes.
const HASH_BYTES_MAX: usize = digest::SHA512_OUTPUT_LEN;

/// Proves that a client knows a password, and is not the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    mechanism: ScramMechanism,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// Without the keys: with them passwords can be tried.
impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier")
            .field("mechanism", &self.mechanism)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Stored parts that cannot be a verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a verifier has a salt of 8 to 64 bytes, 4,096 to 1,000,000 iterations, and keys as long as its hash"
)]
pub struct VerifierError;

impl ScramVerifier {
    /// Derives it. Takes milliseconds of processor time for some thousand iterations.
    pub fn from_password(
        mechanism: ScramMechanism,
        password: &str,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Self {
        let salted = salted(mechanism, password, salt, iterations);
        let client_key = mac(mechanism, &salted, b"Client Key");
        Self {
            mechanism,
            salt: salt.to_vec(),
            iterations,
            stored_key: hash(mechanism, client_key.as_ref()),
            server_key: mac(mechanism, &salted, b"Server Key").as_ref().to_vec(),
        }
    }

    /// Puts together what was stored.
    ///
    /// # Errors
    /// [`VerifierError`] for parts that are out of bounds.
    pub fn from_parts(
        mechanism: ScramMechanism,
        salt: Vec<u8>,
        iterations: u32,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Result<Self, VerifierError> {
        let sound = SALT_BYTES_RANGE.contains(&salt.len())
            && ITERATIONS_RANGE.contains(&iterations)
            && stored_key.len() == mechanism.key_bytes()
            && server_key.len() == mechanism.key_bytes();
        let iterations = NonZeroU32::new(iterations).filter(|_| sound);
        Ok(Self {
            mechanism,
            salt,
            iterations: iterations.ok_or(VerifierError)?,
            stored_key,
            server_key,
        })
    }

    /// Whether it was made from this password; the time does not tell how far a wrong one was right. As expensive as
    /// [`ScramVerifier::from_password`].
    pub fn is_password(&self, password: &str) -> bool {
        let salted = salted(self.mechanism, password, &self.salt, self.iterations);
        self.is_client_key(mac(self.mechanism, &salted, b"Client Key").as_ref())
    }

    /// Whether `client_key` is the one that the stored key is the hash of.
    fn is_client_key(&self, client_key: &[u8]) -> bool {
        let hash = hash(self.mechanism, client_key);
        self.stored_key.ct_eq(&hash).into()
    }

    /// Whether `proof` is the client key hidden by the signature of `auth_message`.
    pub(super) fn is_proof(&self, proof: &[u8], auth_message: &[u8]) -> bool {
        if proof.len() != self.mechanism.key_bytes() {
            return false;
        }
        let signature = mac(self.mechanism, &self.stored_key, auth_message);
        let pairs = proof.iter().zip(signature.as_ref());
        let client_key: Vec<u8> = pairs.map(|(one, other)| one ^ other).collect();
        self.is_client_key(&client_key)
    }

    /// What shows the client that the server has its verifier too.
    pub(super) fn server_signature(&self, auth_message: &[u8]) -> hmac::Tag {
        mac(self.mechanism, &self.server_key, auth_message)
    }

    /// Its hash.
    pub fn mechanism(&self) -> ScramMechanism {
        self.mechanism
    }

    /// Random, told to whoever asks.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Rounds of PBKDF2.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// To be stored; not to be shown.
    pub fn stored_key(&self) -> &[u8] {
        &self.stored_key
    }

    /// To be stored; not to be shown.
    pub fn server_key(&self) -> &[u8] {
        &self.server_key
    }
}

fn salted(
    mechanism: ScramMechanism,
    password: &str,
    salt: &[u8],
    iterations: NonZeroU32,
) -> Vec<u8> {
    let algorithm = match mechanism {
        ScramMechanism::Sha256 => PBKDF2_HMAC_SHA256,
        ScramMechanism::Sha512 => PBKDF2_HMAC_SHA512,
    };
    let mut out = [0; HASH_BYTES_MAX];
    let (out, _) = out.split_at_mut(mechanism.key_bytes());
    pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), out);
    out.to_vec()
}

fn mac(mechanism: ScramMechanism, key: &[u8], message: &[u8]) -> hmac::Tag {
    let algorithm = match mechanism {
        ScramMechanism::Sha256 => hmac::HMAC_SHA256,
        ScramMechanism::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), message)
}

fn hash(mechanism: ScramMechanism, bytes: &[u8]) -> Vec<u8> {
    let algorithm = match mechanism {
        ScramMechanism::Sha256 => &digest::SHA256,
        ScramMechanism::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier(mechanism: ScramMechanism) -> ScramVerifier {
        ScramVerifier::from_password(mechanism, "Passw0rd", &[7; SALT_BYTES], ITERATIONS)
    }

    #[test]
    fn a_verifier_knows_its_password_and_no_other() {
        for mechanism in ScramMechanism::ALL {
            let verifier = verifier(mechanism);
            assert!(verifier.is_password("Passw0rd"));
            for wrong in ["", "passw0rd", "Passw0rd ", "Passw0r"] {
                assert!(!verifier.is_password(wrong), "{wrong}");
            }
        }
    }

    #[test]
    fn a_stored_verifier_is_the_same_and_a_damaged_one_is_refused() {
        for mechanism in ScramMechanism::ALL {
            let made = verifier(mechanism);
            let parts = |salt: usize, iterations: u32, stored: usize, server: usize| {
                let cut =
                    |bytes: &[u8], size: usize| bytes.iter().copied().cycle().take(size).collect();
                ScramVerifier::from_parts(
                    mechanism,
                    cut(made.salt(), salt),
                    iterations,
                    cut(made.stored_key(), stored),
                    cut(made.server_key(), server),
                )
            };
            let key = mechanism.key_bytes();
            assert_eq!(
                parts(SALT_BYTES, ITERATIONS.get(), key, key),
                Ok(made.clone())
            );
            for (salt, iterations, stored, server) in [
                (7, 8_192, key, key),
                (65, 8_192, key, key),
                (16, 0, key, key),
                (16, 4_095, key, key),
                (16, 1_000_001, key, key),
                (16, 8_192, key - 1, key),
                (16, 8_192, key, key + 1),
            ] {
                assert_eq!(parts(salt, iterations, stored, server), Err(VerifierError));
            }
        }
    }

    #[test]
    fn keys_are_not_shown_for_debugging() {
        let shown = format!("{:?}", verifier(ScramMechanism::Sha256));
        assert!(!shown.contains("key"), "{shown}");
    }
}
