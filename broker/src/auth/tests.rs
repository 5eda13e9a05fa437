//! What the parts do together: stand-ins for unknown users, and passwords that are known again.

use std::net::SocketAddr;

use headwater_storage::StoreOptions;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const PASSWORD: &str = "Operator-2024";

fn auth() -> (Auth, TempDir) {
    let data = tempfile::tempdir().expect("a temporary directory can be made");
    let directory = DataDirectory::open(data.path(), &StoreOptions::default()).expect("it is new");
    let operator = OperatorConfig {
        user: "root".to_owned(),
        password: PASSWORD.to_owned(),
    };
    let config = ConnectionConfig::default();
    let auth = Auth::new(Arc::new(directory), &config, Some(&operator));
    (auth.expect("there is randomness"), data)
}

fn claim(auth: &Auth, user: &str, mechanism: Mechanism) -> Claim {
    auth.claim(&auth.directory.catalog(), user, mechanism)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 40_000))
}

#[tokio::test]
async fn an_unknown_user_has_a_salt_of_its_own_and_always_the_same() {
    let (auth, _data) = auth();
    for mechanism in Mechanism::ALL {
        let known = claim(&auth, "root", mechanism).verifier;
        let one = claim(&auth, "nobody", mechanism).verifier;
        let other = claim(&auth, "noone", mechanism).verifier;
        assert_eq!(one, claim(&auth, "nobody", mechanism).verifier);
        assert_ne!(one.salt(), other.salt());
        let looks = |verifier: &ScramVerifier| {
            (
                verifier.mechanism(),
                verifier.iterations(),
                verifier.salt().len(),
            )
        };
        assert_eq!(looks(&one), looks(&known), "nothing tells them apart");
        assert!(!one.is_password(PASSWORD));
    }
    let (another, _data) = self::auth();
    let mechanism = Mechanism::Plain;
    let salt = |auth: &Auth| claim(auth, "nobody", mechanism).verifier.salt().to_vec();
    assert_ne!(salt(&auth), salt(&another), "the key is of this process");
}

#[tokio::test]
async fn a_password_that_was_right_is_known_again_without_work() {
    let (auth, _data) = auth();
    let root = claim(&auth, "root", Mechanism::Plain);
    assert_eq!(auth.check(&root, PASSWORD, peer()).await, Checked::Right);
    assert_eq!(
        auth.check(&root, "Wrong-2024", peer()).await,
        Checked::Wrong
    );
    auth.pool.stall().await;
    let soon = |password: &'static str| {
        timeout(
            Duration::from_millis(300),
            auth.check(&root, password, peer()),
        )
    };
    assert_eq!(soon(PASSWORD).await.ok(), Some(Checked::Right));
    assert_eq!(
        soon("Wrong-2024").await.ok(),
        None,
        "a wrong one has to be checked again"
    );
    // The same password for another verifier is another secret.
    let other = ScramVerifier::from_password(
        ScramMechanism::Sha256,
        PASSWORD,
        &[7; SALT_BYTES],
        ITERATIONS,
    );
    assert_ne!(
        auth.tag(&other, PASSWORD),
        auth.tag(&root.verifier, PASSWORD)
    );
}
