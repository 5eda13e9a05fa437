//! Passwords checked off the runtime: each costs milliseconds of processor time, and strangers ask for it. A few
//! threads at once, a bounded queue in which addresses take turns.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use headwater_protocol::sasl::ScramVerifier;
use tokio::{sync::oneshot, task::spawn_blocking};

use super::fair_queue::FairQueue;
use crate::limits::{VERIFY_QUEUE, VERIFY_QUEUE_PER_ADDRESS, VERIFY_THREADS};

/// The checks that wait and those that run.
#[derive(Debug)]
pub(super) struct VerifyPool {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: FairQueue<IpAddr, Check>,
    running: usize,
}

/// One password to be checked.
struct Check {
    verifier: ScramVerifier,
    password: String,
    done: oneshot::Sender<bool>,
}

/// Without the password.
impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").finish_non_exhaustive()
    }
}

/// Too many checks wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

impl VerifyPool {
    pub(super) fn new() -> Arc<Self> {
        let queue = FairQueue::new(VERIFY_QUEUE, VERIFY_QUEUE_PER_ADDRESS);
        Arc::new(Self {
            state: Mutex::new(State { queue, running: 0 }),
        })
    }

    /// Whether `password` is the one of `verifier`; waits for its turn. Dropped before, the check is not made.
    pub(super) async fn is_password(
        self: &Arc<Self>,
        address: IpAddr,
        verifier: ScramVerifier,
        password: String,
    ) -> Result<bool, Busy> {
        let (done, result) = oneshot::channel();
        let check = Check {
            verifier,
            password,
            done,
        };
        self.queue(address, check)?;
        // A check that panicked found nothing right.
        Ok(result.await.unwrap_or(false))
    }

    /// Waits for the threads to end; from then on, as if all were at work for ever.
    #[cfg(test)]
    pub(super) async fn stall(&self) {
        while self.state.lock().expect("nobody panicked").running > 0 {
            tokio::task::yield_now().await;
        }
        self.state.lock().expect("nobody panicked").running = VERIFY_THREADS;
    }

    fn queue(self: &Arc<Self>, address: IpAddr, check: Check) -> Result<(), Busy> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.queue.push(address, check).map_err(|_| Busy)?;
        if state.running < VERIFY_THREADS {
            state.running += 1;
            let pool = Arc::clone(self);
            // Not waited for: it ends with the queue.
            drop(spawn_blocking(move || pool.work()));
        }
        Ok(())
    }

    fn work(&self) {
        while let Some(check) = self.next() {
            if !check.done.is_closed() {
                let right = check.verifier.is_password(&check.password);
                // A client that went does not want to know.
                check.done.send(right).unwrap_or(());
            }
        }
    }

    /// The next check; `None` ends the thread that asks.
    fn next(&self) -> Option<Check> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = state.queue.pop();
        if next.is_none() {
            state.running -= 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use headwater_protocol::sasl::ScramMechanism;

    use super::*;

    fn verifier() -> ScramVerifier {
        let few = NonZeroU32::new(10).expect("not zero");
        ScramVerifier::from_password(ScramMechanism::Sha256, "Passw0rd", b"salt", few)
    }

    #[tokio::test]
    async fn passwords_are_told_right_from_wrong() {
        let pool = VerifyPool::new();
        let address = IpAddr::from([10, 0, 0, 1]);
        for (password, right) in [("Passw0rd", true), ("passw0rd", false)] {
            let told = pool.is_password(address, verifier(), password.to_owned());
            assert_eq!(told.await, Ok(right));
        }
        // The thread ends with the queue.
        pool.stall().await;
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let pool = VerifyPool::new();
        pool.stall().await;
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut waiting = Vec::new();
        for _ in 0..VERIFY_QUEUE_PER_ADDRESS {
            let check = pool.is_password(address, verifier(), String::new());
            waiting.push(Box::pin(check));
        }
        for check in &mut waiting {
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(check.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
        }
        let over = pool.is_password(address, verifier(), String::new());
        assert_eq!(over.await, Err(Busy));
    }
}
