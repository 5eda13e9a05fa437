//! The sessions of all connections, bounded in number and in bytes.
//!
//! A connection has at most one. While a request is answered it has the session to itself. When there is no room, the
//! session that was unused for longest goes, if it was unused for a while; else the new client does without (session id
//! 0), which every client understands.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kafka_protocol::messages::FetchRequest;

use super::FetchSession;
use crate::{
    error_code::Refusal,
    limits::{FETCH_SESSION_EVICT_AFTER, FETCH_SESSIONS_BYTES_MAX, FETCH_SESSIONS_MAX},
};

/// Epochs with a meaning of their own (`FetchMetadata`).
const EPOCH_INITIAL: i32 = 0;
const EPOCH_FINAL: i32 = -1;

/// What a request is to be answered with.
#[derive(Debug)]
pub(crate) enum Begun {
    /// All partitions of the request, and session id 0.
    Without,
    /// What this session's client does not know yet: of a new session, everything.
    Within(FetchSession),
    /// No partition, and this error.
    Refused(Refusal),
}

/// The sessions of all connections.
#[derive(Debug, Default)]
pub(crate) struct FetchSessions {
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// By connection.
    held: HashMap<u64, Held>,
    bytes: usize,
    last_id: i32,
}

#[derive(Debug)]
struct Held {
    /// `None`: a request has it.
    session: Option<FetchSession>,
    /// What the session is counted with.
    bytes: usize,
    used: Duration,
}

impl FetchSessions {
    /// Begins a request of `connection`; `by_id` says how its version names topics. Give the session back with
    /// [`FetchSessions::give_back`] when it is answered.
    pub(crate) fn begin(
        &self,
        now: Duration,
        connection: u64,
        request: &FetchRequest,
        by_id: bool,
    ) -> Begun {
        // What most clients without sessions send takes no lock.
        if request.session_id == 0 && request.session_epoch == EPOCH_FINAL {
            return Begun::Without;
        }
        let mut cache = self.cache();
        match request.session_epoch {
            EPOCH_FINAL => {
                cache.forget(connection);
                Begun::Without
            }
            EPOCH_INITIAL => cache.open(now, connection, request, by_id),
            _ => cache
                .go_on(now, connection, request, by_id)
                .unwrap_or_else(Begun::Refused),
        }
    }

    /// Ends a request that had a session.
    pub(crate) fn give_back(&self, now: Duration, connection: u64, session: FetchSession) {
        if let Some(held) = self.cache().held.get_mut(&connection) {
            held.session = Some(session);
            held.used = now;
        }
    }

    /// The connection is gone.
    pub(crate) fn forget(&self, connection: u64) {
        self.cache().forget(connection);
    }

    /// Sessions now.
    pub(crate) fn count(&self) -> usize {
        self.cache().held.len()
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // A panic elsewhere leaves at most one session counted that is not there; it goes with its connection.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn open(
        &mut self,
        now: Duration,
        connection: u64,
        request: &FetchRequest,
        by_id: bool,
    ) -> Begun {
        self.forget(connection);
        let session = FetchSession::new(self.next_id(), by_id, &request.topics);
        if session.is_empty() || !self.make_room(now, session.bytes()) {
            return Begun::Without;
        }
        self.count(now, connection, session.bytes());
        Begun::Within(session)
    }

    fn go_on(
        &mut self,
        now: Duration,
        connection: u64,
        request: &FetchRequest,
        by_id: bool,
    ) -> Result<Begun, Refusal> {
        let held = self.held.get_mut(&connection);
        let session = held.and_then(|held| held.session.as_mut());
        let session = session.ok_or(Refusal::FetchSessionIdNotFound)?;
        session.check(request, by_id)?;
        session.update(request);
        let session = self.take(connection);
        let session = session.ok_or(Refusal::FetchSessionIdNotFound)?;
        if session.is_empty() {
            return Ok(Begun::Without);
        }
        // Counted anew: it may have grown.
        if !self.make_room(now, session.bytes()) {
            return Err(Refusal::FetchSessionIdNotFound);
        }
        self.count(now, connection, session.bytes());
        Ok(Begun::Within(session))
    }

    fn count(&mut self, now: Duration, connection: u64, bytes: usize) {
        self.bytes += bytes;
        let held = Held {
            session: None,
            bytes,
            used: now,
        };
        self.held.insert(connection, held);
    }

    fn forget(&mut self, connection: u64) {
        drop(self.take(connection));
    }

    fn take(&mut self, connection: u64) -> Option<FetchSession> {
        let held = self.held.remove(&connection)?;
        self.bytes -= held.bytes;
        held.session
    }

    /// Whether there is room for one more of `bytes`.
    fn make_room(&mut self, now: Duration, bytes: usize) -> bool {
        while self.held.len() >= FETCH_SESSIONS_MAX || self.bytes + bytes > FETCH_SESSIONS_BYTES_MAX
        {
            let Some(oldest) = self.unused(now) else {
                return false;
            };
            self.forget(oldest);
        }
        true
    }

    /// The connection whose session was unused for longest, and for long enough.
    fn unused(&self, now: Duration) -> Option<u64> {
        let idle = self.held.iter().filter(|(_, held)| {
            held.session.is_some() && now.saturating_sub(held.used) >= FETCH_SESSION_EVICT_AFTER
        });
        let oldest = idle.min_by_key(|(_, held)| held.used);
        oldest.map(|(connection, _)| *connection)
    }

    /// From 1 to 2^31-1, then from 1 again.
    fn next_id(&mut self) -> i32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}
