//! The vectors of RFC 7677, a client of our own for both hashes, and every field broken by itself.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

use super::*;
use crate::sasl::{ITERATIONS, ScramMechanism, TOKEN_BYTES_MAX};

const PASSWORD: &str = "pencil";
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn first(message: &str) -> ClientFirst {
    ClientFirst::parse(message.as_bytes()).unwrap_or_else(|error| panic!("{message}: {error}"))
}

fn verifier(mechanism: ScramMechanism) -> ScramVerifier {
    ScramVerifier::from_password(mechanism, PASSWORD, b"a salt of 16 byt", ITERATIONS)
}

fn challenge(mechanism: ScramMechanism, header: &str) -> Challenge {
    first(&format!("{header}n=user,r={CLIENT_NONCE}")).challenge(verifier(mechanism), SERVER_NONCE)
}

/// The client's side, written by the RFC and not by our verifier.
fn answer(
    challenge: &Challenge,
    mechanism: ScramMechanism,
    signed: &str,
    password: &str,
) -> String {
    let (derive, mac, hash) = match mechanism {
        ScramMechanism::Sha256 => (
            pbkdf2::PBKDF2_HMAC_SHA256,
            hmac::HMAC_SHA256,
            &digest::SHA256,
        ),
        ScramMechanism::Sha512 => (
            pbkdf2::PBKDF2_HMAC_SHA512,
            hmac::HMAC_SHA512,
            &digest::SHA512,
        ),
    };
    let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(mac, key), text.as_bytes());
    let mut salted = vec![0; mechanism.key_bytes()];
    pbkdf2::derive(
        derive,
        ITERATIONS,
        challenge.verifier.salt(),
        password.as_bytes(),
        &mut salted,
    );
    let client_key = sign(&salted, "Client Key");
    let stored_key = digest::digest(hash, client_key.as_ref());
    let auth_message = format!("{},{},{signed}", challenge.first.bare, challenge.message());
    let signature = sign(stored_key.as_ref(), &auth_message);
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    let proof: Vec<u8> = pairs.map(|(one, other)| one ^ other).collect();
    format!("{signed},p={}", STANDARD.encode(proof))
}

#[test]
fn the_exchange_of_rfc_7677_is_the_exchange_here() {
    let salt = STANDARD
        .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        .expect("it is base64");
    let iterations = NonZeroU32::new(4096).expect("not zero");
    let verifier =
        ScramVerifier::from_password(ScramMechanism::Sha256, PASSWORD, &salt, iterations);
    let challenge = first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").challenge(verifier, SERVER_NONCE);
    assert_eq!(
        challenge.message(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let proven = challenge.verify(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
          p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    );
    assert_eq!(
        proven.map(|proven| proven.message),
        Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned())
    );
}

#[test]
fn the_right_password_proves_itself_with_each_hash_and_header() {
    for mechanism in ScramMechanism::ALL {
        for (header, bound) in [
            ("n,,", "biws"),
            ("y,,", "eSws"),
            ("n,a=user,", "bixhPXVzZXIs"),
        ] {
            let challenge = challenge(mechanism, header);
            let signed = format!("c={bound},r={CLIENT_NONCE}{SERVER_NONCE}");
            let answer = answer(&challenge, mechanism, &signed, PASSWORD);
            let proven = challenge.verify(answer.as_bytes()).expect("it is right");
            assert!(proven.message().starts_with("v="));
        }
    }
}

#[test]
fn a_wrong_password_and_a_proof_for_another_login_do_not_fit() {
    for mechanism in ScramMechanism::ALL {
        let signed = format!("c=biws,r={CLIENT_NONCE}{SERVER_NONCE}");
        let ours = challenge(mechanism, "n,,");
        let wrong = answer(&ours, mechanism, &signed, "pencils");
        assert_eq!(ours.clone().verify(wrong.as_bytes()), Err(SaslError::Proof));
        // Recorded from a login with another nonce of ours.
        let other =
            first(&format!("n,,n=user,r={CLIENT_NONCE}")).challenge(verifier(mechanism), "another");
        let signed_then = format!("c=biws,r={CLIENT_NONCE}another");
        let recorded = answer(&other, mechanism, &signed_then, PASSWORD);
        assert_eq!(
            ours.clone().verify(recorded.as_bytes()),
            Err(SaslError::Nonce)
        );
        let (_, proof) = recorded.rsplit_once(",p=").expect("it has a proof");
        let replayed = format!("{signed},p={proof}");
        assert_eq!(ours.verify(replayed.as_bytes()), Err(SaslError::Proof));
    }
}

#[test]
fn the_doubled_nonce_of_old_librdkafka_is_accepted_only_with_a_proof_over_what_we_sent() {
    for mechanism in ScramMechanism::ALL {
        let signed = format!("c=biws,r={CLIENT_NONCE}{CLIENT_NONCE}{SERVER_NONCE}");
        let ours = challenge(mechanism, "n,,");
        let right = answer(&ours, mechanism, &signed, PASSWORD);
        assert!(ours.clone().verify(right.as_bytes()).is_ok());
        let wrong = answer(&ours, mechanism, &signed, "pencils");
        assert_eq!(ours.verify(wrong.as_bytes()), Err(SaslError::Proof));
        // Recorded from a login with another nonce of ours, the nonces then mended.
        let other =
            first(&format!("n,,n=user,r={CLIENT_NONCE}")).challenge(verifier(mechanism), "another");
        let then = format!("c=biws,r={CLIENT_NONCE}{CLIENT_NONCE}another");
        let recorded = answer(&other, mechanism, &then, PASSWORD);
        let (_, proof) = recorded.rsplit_once(",p=").expect("it has a proof");
        let replayed = format!("{signed},p={proof}");
        assert_eq!(
            challenge(mechanism, "n,,").verify(replayed.as_bytes()),
            Err(SaslError::Proof)
        );
    }
}

#[test]
fn a_first_message_is_refused_by_each_field_that_is_wrong() {
    let long_name = format!("n,,n={},r=abc", "n".repeat(USER_NAME_BYTES_MAX + 1));
    let long_escapes = format!("n,,n={},r=abc", "=2C".repeat(USER_NAME_BYTES_MAX + 1));
    let long_nonce = format!("n,,n=user,r={}", "r".repeat(NONCE_BYTES_MAX + 1));
    let long = "n".repeat(TOKEN_BYTES_MAX + 1);
    for (message, error) in [
        ("", SaslError::Malformed("no channel binding flag")),
        (
            "x,,n=user,r=abc",
            SaslError::Malformed("channel binding flag"),
        ),
        ("p=tls-unique,,n=user,r=abc", SaslError::ChannelBinding),
        (
            "n,user,n=user,r=abc",
            SaslError::Malformed("authorization id"),
        ),
        ("n,a=root,n=user,r=abc", SaslError::AuthorizationId),
        ("n,", SaslError::Malformed("no authorization id")),
        ("n,,n=user", SaslError::Malformed("no nonce")),
        ("n,,n=user,s=abc", SaslError::Malformed("no nonce")),
        ("n,,n=,r=abc", SaslError::Malformed("no user name")),
        ("n,,r=abc,n=user", SaslError::Malformed("no user name")),
        (
            "n,,m=ext,n=user,r=abc",
            SaslError::Malformed("mandatory extension"),
        ),
        ("n,,n=us=er,r=abc", SaslError::Malformed("user name")),
        ("n,,n=us=2cer,r=abc", SaslError::Malformed("user name")),
        ("n,,n=user,r=", SaslError::Malformed("nonce")),
        ("n,,n=user,r=a b", SaslError::Malformed("nonce")),
        ("n,,n=user,r=\u{e9}", SaslError::Malformed("nonce")),
        (&long_name, SaslError::TooLong("user name")),
        (&long_escapes, SaslError::TooLong("user name")),
        (&long_nonce, SaslError::TooLong("nonce")),
        (&long, SaslError::TooLong("message")),
    ] {
        assert_eq!(
            ClientFirst::parse(message.as_bytes()),
            Err(error),
            "{message}"
        );
    }
}

#[test]
fn a_final_message_is_refused_by_each_field_that_is_wrong() {
    let nonce = format!("{CLIENT_NONCE}{SERVER_NONCE}");
    for (message, error) in [
        (String::new(), SaslError::Malformed("no proof")),
        (
            format!("c=biws,r={nonce}"),
            SaslError::Malformed("no proof"),
        ),
        (
            format!("r={nonce},p=AA=="),
            SaslError::Malformed("no channel binding"),
        ),
        (
            format!("c=eSws,r={nonce},p=AA=="),
            SaslError::ChannelBinding,
        ),
        (format!("c=,r={nonce},p=AA=="), SaslError::ChannelBinding),
        ("c=biws,p=AA==".to_owned(), SaslError::Malformed("no nonce")),
        (format!("c=biws,r={CLIENT_NONCE},p=AA=="), SaslError::Nonce),
        (format!("c=biws,r={SERVER_NONCE},p=AA=="), SaslError::Nonce),
        (format!("c=biws,r={nonce}x,p=AA=="), SaslError::Nonce),
        (
            format!("c=biws,r={nonce},p=!"),
            SaslError::Malformed("proof is not base64"),
        ),
        (format!("c=biws,r={nonce},p="), SaslError::Proof),
        (format!("c=biws,r={nonce},p=AA=="), SaslError::Proof),
    ] {
        let answered = challenge(ScramMechanism::Sha256, "n,,").verify(message.as_bytes());
        assert_eq!(answered, Err(error), "{message}");
    }
}

#[test]
fn names_with_comma_and_equals_sign_come_unescaped() {
    let parsed = first("n,a==2Ca=3D,n==2Ca=3D,r=abc,tokenauth=true");
    assert_eq!(parsed.user_name(), ",a=");
    assert_eq!(parsed.nonce, "abc");
}
