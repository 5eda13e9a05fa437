//! Every state with everything that may come in it. What a right proof leads to is shown by real clients
//! (`tests/tests/security.rs`), which make one.

use std::num::NonZeroU32;

use headwater_protocol::sasl::{ScramMechanism, ScramVerifier};

use super::*;
use crate::auth::principal::Principal;

const SCRAM: Mechanism = Mechanism::Scram(ScramMechanism::Sha256);

/// A state of the table.
#[derive(Debug, Clone, Copy)]
enum At {
    Start,
    ChosenPlain,
    ChosenScram,
    Challenged,
    Over,
}

fn claim(user: &str) -> Claim {
    let few = NonZeroU32::new(10).expect("not zero");
    let verifier = ScramVerifier::from_password(ScramMechanism::Sha256, "Passw0rd", b"salt", few);
    let principal = if user == "known" {
        Ok(Principal::Operator)
    } else {
        Err(Unknown::Account)
    };
    Claim::of(user, principal, verifier)
}

fn token(login: &mut Login, token: &str) -> Step {
    login.token(
        token.as_bytes(),
        |user, _| claim(user),
        || Some("nonce".to_owned()),
    )
}

fn login_at(at: At) -> Login {
    let mut login = Login::new(Mechanism::ALL.into());
    match at {
        At::Start => {}
        At::ChosenPlain => login.choose("PLAIN", 1).expect("it is offered"),
        At::ChosenScram => login.choose(SCRAM.name(), 1).expect("it is offered"),
        At::Challenged => {
            login.choose(SCRAM.name(), 1).expect("it is offered");
            let step = token(&mut login, "n,,n=known,r=abc");
            assert!(matches!(step, Step::Challenge(_)), "{step:?}");
        }
        At::Over => {
            let step = token(&mut login, "");
            assert!(matches!(step, Step::Refused(_)), "{step:?}");
        }
    }
    login
}

#[test]
fn a_mechanism_is_chosen_at_the_start_only() {
    for (at, chosen, unknown) in [
        (At::Start, Ok(()), NotChosen::Unsupported),
        (
            At::ChosenPlain,
            Err(NotChosen::IllegalState),
            NotChosen::IllegalState,
        ),
        (
            At::ChosenScram,
            Err(NotChosen::IllegalState),
            NotChosen::IllegalState,
        ),
        (
            At::Challenged,
            Err(NotChosen::IllegalState),
            NotChosen::IllegalState,
        ),
        (
            At::Over,
            Err(NotChosen::IllegalState),
            NotChosen::IllegalState,
        ),
    ] {
        assert_eq!(login_at(at).choose("PLAIN", 1), chosen, "{at:?}");
        assert_eq!(login_at(at).choose("GSSAPI", 1), Err(unknown), "{at:?}");
    }
    let mut few = Login::new([SCRAM].into());
    assert_eq!(few.choose("PLAIN", 1), Err(NotChosen::Unsupported));
    assert_eq!(few.choose("SCRAM-SHA-256", 1), Ok(()));
}

#[test]
fn a_token_is_taken_where_one_is_due_and_a_second_try_never_is() {
    for at in [
        At::Start,
        At::ChosenPlain,
        At::ChosenScram,
        At::Challenged,
        At::Over,
    ] {
        let mut login = login_at(at);
        let step = token(&mut login, "nonsense");
        let Step::Refused(refused) = step else {
            panic!("{at:?}: {step:?}");
        };
        let due = matches!(refused.why, Why::Token(_));
        let expected = !matches!(at, At::Start | At::Over);
        assert_eq!(due, expected, "{at:?}: {refused:?}");
        // Whatever it was, it is over.
        let again = token(&mut login, "\0known\0Passw0rd");
        let over = matches!(&again, Step::Refused(refused) if refused.why == Why::IllegalState);
        assert!(over, "{at:?}: {again:?}");
    }
}

#[test]
fn handshake_v0_makes_frames_tokens() {
    for (version, raw) in [(0, true), (1, false)] {
        let mut login = login_at(At::Start);
        assert!(!login.takes_raw_tokens());
        login.choose("PLAIN", version).expect("it is offered");
        assert_eq!(login.takes_raw_tokens(), raw);
    }
}

#[test]
fn a_password_is_handed_out_to_be_checked_for_known_and_unknown_users_alike() {
    for (user, checked, why) in [
        ("known", Checked::Right, None),
        ("known", Checked::Wrong, Some(Why::WrongPassword)),
        ("known", Checked::Busy, Some(Why::Busy)),
        (
            "nobody",
            Checked::Right,
            Some(Why::Unknown(Unknown::Account)),
        ),
        (
            "nobody",
            Checked::Wrong,
            Some(Why::Unknown(Unknown::Account)),
        ),
    ] {
        let step = token(
            &mut login_at(At::ChosenPlain),
            &format!("\0{user}\0Passw0rd"),
        );
        let Step::Password { claim, password } = step else {
            panic!("{user}: {step:?}");
        };
        assert_eq!(password, "Passw0rd");
        let judged = judge(claim, checked);
        assert_eq!(
            judged.err().map(|refused| refused.why),
            why,
            "{user} {checked:?}"
        );
    }
}

#[test]
fn a_known_and_an_unknown_user_are_challenged_alike_and_told_the_same() {
    let final_message = "c=biws,r=abcnonce,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let mut told = Vec::new();
    for (user, why) in [
        ("known", Why::WrongPassword),
        ("nobody", Why::Unknown(Unknown::Account)),
    ] {
        let mut login = login_at(At::ChosenScram);
        let challenged = token(&mut login, &format!("n,,n={user},r=abc"));
        assert!(matches!(challenged, Step::Challenge(_)), "{challenged:?}");
        let Step::Refused(refused) = token(&mut login, final_message) else {
            panic!("{user} got in");
        };
        assert_eq!((refused.user.as_str(), &refused.why), (user, &why));
        told.push(refused.why.message());
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn nobody_is_let_in_without_randomness() {
    let mut login = login_at(At::ChosenScram);
    let step = login.token(b"n,,n=known,r=abc", |user, _| claim(user), || None);
    let refused = matches!(&step, Step::Refused(refused) if refused.why == Why::NoNonce);
    assert!(refused, "{step:?}");
}
