//! Who a client is, and what it may do.
//!
//! | file | what |
//! |---|---|
//! | `login` | the login of one connection: which token is due, and what it leads to. Pure |
//! | `account` | a user name becomes an account: from the catalog, or the operator's. Pure |
//! | `delay`, `fair_queue`, `remembered` | bounds on guessing, and on its cost. Pure |
//! | `places`, `verify` | who may try at all, and where passwords are checked |
//! | `principal`, `authorize` | who was let in, and the table of what he may do. Pure |
//! | `sessions` | the connections of each group, so that a changed password ends them |
//!
//! This file puts them together: [`Auth`] is what all connections share.
//!
//! Nobody learns here whether a user exists: an unknown one has a salt too, always the same while the broker runs, and
//! costs the same work; its answer is the same, after the same delay.

pub(crate) mod account;
pub(crate) mod authorize;
mod delay;
mod fair_queue;
pub(crate) mod login;
pub(crate) mod places;
pub(crate) mod principal;
mod remembered;
pub(crate) mod sessions;
mod verify;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use headwater_protocol::sasl::{ITERATIONS, Mechanism, SALT_BYTES, ScramMechanism, ScramVerifier};
use headwater_storage::{
    Catalog, CatalogChange, DataDirectory, Group, StorageError, StoredVerifier,
};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use tracing::warn;

use self::{
    account::{Claim, Operator},
    delay::Delays,
    login::{Checked, Login, Refused, Step, Why},
    places::{Places, neighbourhood},
    principal::Principal,
    remembered::Remembered,
    sessions::{GroupSessions, Member},
    verify::VerifyPool,
};
use crate::{
    config::{ConnectionConfig, OperatorConfig},
    hush::Hush,
    limits::USER_NAME_CHARS_SHOWN,
};

/// Random bytes of a server nonce. Without padding in base64.
const NONCE_BYTES: usize = 24;

/// What the logins of all connections share.
#[derive(Debug)]
pub(crate) struct Auth {
    /// Of this process only.
    secret: hmac::Key,
    random: SystemRandom,
    operator: Option<Operator>,
    directory: Arc<DataDirectory>,
    pub(crate) places: Arc<Places>,
    pub(crate) sessions: Arc<GroupSessions>,
    pool: Arc<VerifyPool>,
    delays: Mutex<Delays>,
    remembered: Mutex<Remembered>,
    /// Lines about logins that fail.
    failures: Hush,
    /// Lines about what principals ask for and may not have.
    pub(crate) denials: Hush,
}

/// Somebody was let in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) principal: Principal,
    /// To be kept while the connection lives; `None` for the operator.
    pub(crate) member: Option<Member>,
    /// The last token for the client.
    pub(crate) token: String,
}

/// How a token was taken.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Send this, and expect the next token.
    Challenge(String),
    Entered(Entered),
    Refused(Refused),
}

/// No randomness, which the system owes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandom;

impl Auth {
    /// For a broker with these limits; derives the operator's verifiers, which takes some ms.
    pub(crate) fn new(
        directory: Arc<DataDirectory>,
        config: &ConnectionConfig,
        operator: Option<&OperatorConfig>,
    ) -> Result<Self, NoRandom> {
        let random = SystemRandom::new();
        let mut secret = [0; 32];
        random.fill(&mut secret).map_err(|_| NoRandom)?;
        let operator = operator.map(|config| new_operator(&random, config));
        Ok(Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            random,
            operator: operator.transpose()?,
            directory,
            places: Places::new(
                config.unauthenticated_max,
                config.unauthenticated_per_address_max,
            ),
            sessions: Arc::default(),
            pool: VerifyPool::new(),
            delays: Mutex::default(),
            remembered: Mutex::default(),
            failures: Hush::default(),
            denials: Hush::default(),
        })
    }

    /// Makes or changes a consumer group, durably; then ends the connections that logged in with what is no longer
    /// so. Says how many. Blocks on the disk.
    pub(crate) fn change_group(&self, group: Group) -> Result<usize, StorageError> {
        let before = self.directory.catalog().group(group.number).cloned();
        let number = group.number;
        let same = before.is_none_or(|before| before.verifiers == group.verifiers);
        self.directory.change(vec![CatalogChange::Group(group)])?;
        // Behind the change: who joins later has been checked against it.
        Ok(if same { 0 } else { self.sessions.end(number) })
    }

    /// Takes one token of `login`; checks a password off the runtime.
    pub(crate) async fn token(
        &self,
        login: &mut Login,
        token: &[u8],
        peer: SocketAddr,
    ) -> Progress {
        let catalog = self.directory.catalog();
        let find = |user: &str, mechanism| self.claim(&catalog, user, mechanism);
        match login.token(token, find, || self.nonce()) {
            Step::Challenge(message) => Progress::Challenge(message),
            Step::Refused(refused) => Progress::Refused(refused),
            Step::Proven { claim, token } => self.enter(claim, token),
            Step::Password { claim, password } => {
                let checked = self.check(&claim, &password, peer).await;
                match login::judge(claim, checked) {
                    Ok(claim) => self.enter(claim, String::new()),
                    Err(refused) => Progress::Refused(refused),
                }
            }
        }
    }

    /// Whom a user name means, or a stand-in of which nobody has the password.
    fn claim(&self, catalog: &Catalog, user: &str, mechanism: Mechanism) -> Claim {
        let found = account::find(catalog, self.operator.as_ref(), user, mechanism);
        match found {
            Ok((principal, verifier)) => Claim::of(user, Ok(principal), verifier),
            Err(unknown) => Claim::of(user, Err(unknown), self.stand_in(user, mechanism)),
        }
    }

    /// The same for the same name while this process lives.
    fn stand_in(&self, user: &str, mechanism: Mechanism) -> ScramVerifier {
        let mechanism = match mechanism {
            Mechanism::Plain => ScramMechanism::Sha256,
            Mechanism::Scram(mechanism) => mechanism,
        };
        let kind = Mechanism::Scram(mechanism).name();
        let derived = |what: &str| {
            let mut context = hmac::Context::with_key(&self.secret);
            for part in [what, "\0", kind, "\0", user] {
                context.update(part.as_bytes());
            }
            context.sign()
        };
        let key = |what: &str| -> Vec<u8> {
            let bytes = derived(what);
            let cycle = bytes.as_ref().iter().copied().cycle();
            cycle.take(mechanism.key_bytes()).collect()
        };
        let salt = derived("salt")
            .as_ref()
            .iter()
            .copied()
            .take(SALT_BYTES)
            .collect();
        let (stored_key, server_key) = (key("stored key"), key("server key"));
        ScramVerifier::from_parts(mechanism, salt, ITERATIONS.get(), stored_key, server_key)
            .expect("salt, iterations and keys have the lengths that new verifiers have")
    }

    /// `None` where the system gives no randomness: then nobody is let in.
    fn nonce(&self) -> Option<String> {
        let mut bytes = [0; NONCE_BYTES];
        self.random.fill(&mut bytes).ok()?;
        Some(STANDARD.encode(bytes))
    }

    async fn check(&self, claim: &Claim, password: &str, peer: SocketAddr) -> Checked {
        let tag = self.tag(&claim.verifier, password);
        let known = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&tag);
        if known {
            return Checked::Right;
        }
        let (address, verifier) = (neighbourhood(peer.ip()), claim.verifier.clone());
        let checked = self
            .pool
            .is_password(address, verifier, password.to_owned());
        match checked.await {
            Err(verify::Busy) => Checked::Busy,
            Ok(false) => Checked::Wrong,
            Ok(true) => {
                let mut remembered = self
                    .remembered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                remembered.insert(tag);
                Checked::Right
            }
        }
    }

    /// What is remembered of a password.
    fn tag(&self, verifier: &ScramVerifier, password: &str) -> remembered::SecretTag {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(b"password\0");
        // Its length says where the password begins.
        context.update(&verifier.stored_key().len().to_be_bytes());
        context.update(verifier.stored_key());
        context.update(password.as_bytes());
        array(context.sign().as_ref())
    }

    /// Lets a proven client in, unless its password was changed while it proved the old one.
    fn enter(&self, claim: Claim, token: String) -> Progress {
        let Ok(principal) = claim.principal else {
            let why = Why::WrongPassword;
            return Progress::Refused(Refused::of(claim.user, why));
        };
        let member = match &principal {
            Principal::Group(group) => {
                let member = self.sessions.join(group.number);
                // Behind the joining: a change from now on ends this connection.
                if !account::is_current(&self.directory.catalog(), group.number, &claim.verifier) {
                    return Progress::Refused(Refused::of(claim.user, Why::PasswordChanged));
                }
                Some(member)
            }
            Principal::Operator | Principal::Anonymous | Principal::Unauthenticated => None,
        };
        Progress::Entered(Entered {
            principal,
            member,
            token,
        })
    }

    /// Notes a failure, tells the operator which part was wrong, and says how long the answer waits. `now` is
    /// monotonic.
    pub(crate) fn failed(&self, now: Duration, peer: SocketAddr, refused: &Refused) -> Duration {
        if let Some(unsaid) = self.failures.admit(now) {
            let user = shown(&refused.user);
            warn!(%peer, user, reason = %refused.why, unsaid, "login refused");
        }
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(b"delay\0");
        context.update(refused.user.as_bytes());
        let user = array(context.sign().as_ref());
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.failed(now, neighbourhood(peer.ip()), user)
    }
}

/// What the catalog keeps of a new password: verifiers of each SCRAM mechanism, with salts of their own. Takes some ms
/// of processor time. Whether the password is good enough is not judged here.
///
/// # Errors
/// [`NoRandom`].
pub fn stored_verifiers(password: &str) -> Result<Vec<StoredVerifier>, NoRandom> {
    let made = new_verifiers(&SystemRandom::new(), password)?;
    Ok(made.iter().map(account::stored).collect())
}

fn new_operator(random: &SystemRandom, config: &OperatorConfig) -> Result<Operator, NoRandom> {
    Ok(Operator {
        user: config.user.clone(),
        verifiers: new_verifiers(random, &config.password)?,
    })
}

fn new_verifiers(random: &SystemRandom, password: &str) -> Result<Vec<ScramVerifier>, NoRandom> {
    let mut verifiers = Vec::new();
    for mechanism in ScramMechanism::ALL {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt).map_err(|_| NoRandom)?;
        verifiers.push(ScramVerifier::from_password(
            mechanism, password, &salt, ITERATIONS,
        ));
    }
    Ok(verifiers)
}

/// The first bytes of a tag that is at least as long.
fn array<const N: usize>(tag: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(tag) {
        *to = *from;
    }
    array
}

/// What a stranger wrote, for a log line: cut and escaped.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(USER_NAME_CHARS_SHOWN)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests;
