//! The stop signal as everybody waits for it.

use tokio::sync::watch;

/// Returns when the broker stops, or is gone altogether. Cancel safe.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stopping| *stopping).await);
}
