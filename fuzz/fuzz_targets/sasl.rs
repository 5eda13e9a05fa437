//! SASL tokens of a stranger: no panic, memory linear in their size, and no way in. The first byte says which
//! message the rest is; the bytes of a whole SCRAM login are two messages with a line break between them.

#![no_main]

use std::{alloc::System, sync::LazyLock};

use cap::Cap;
use headwater_protocol::sasl::{
    SaslError, ScramMechanism, ScramVerifier, USER_NAME_BYTES_MAX, plain::PlainLogin, scram::ClientFirst,
};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, 256 << 20);

/// Bytes of heap for a byte of a token: a few copies of the texts, twice in base64.
const HEAP_PER_BYTE: usize = 32;
const HEAP_BASE: usize = 16 * 1024;

/// Nobody has the client key of these keys, so no proof can fit.
static VERIFIER: LazyLock<ScramVerifier> = LazyLock::new(|| {
    ScramVerifier::from_parts(ScramMechanism::Sha256, vec![7; 16], 4096, vec![1; 32], vec![2; 32])
        .expect("the parts are within bounds")
});

fuzz_target!(|data: &[u8]| {
    let Some((&kind, token)) = data.split_first() else { return };
    LazyLock::force(&VERIFIER);
    let before = HEAP.total_allocated();
    if kind % 2 == 0 {
        plain(token);
    } else {
        scram(token);
    }
    let taken = HEAP.total_allocated() - before;
    assert!(taken <= HEAP_BASE + HEAP_PER_BYTE * data.len(), "taken={taken} size={}", data.len());
});

fn plain(token: &[u8]) {
    if let Ok(login) = PlainLogin::parse(token) {
        assert!(!login.user_name.is_empty() && !login.password.is_empty());
        assert!(login.user_name.len() <= USER_NAME_BYTES_MAX);
    }
}

fn scram(token: &[u8]) {
    let mut messages = token.splitn(2, |byte| *byte == b'\n');
    let (first, last) = (messages.next().unwrap_or_default(), messages.next().unwrap_or_default());
    let Ok(first) = ClientFirst::parse(first) else { return };
    assert!(!first.user_name().is_empty());
    let challenge = first.challenge(VERIFIER.clone(), "server");
    assert!(challenge.message().starts_with("r="));
    let refused = challenge.verify(last);
    assert!(refused.is_err(), "a login without the password");
    assert_ne!(refused.err(), Some(SaslError::AuthorizationId));
}
