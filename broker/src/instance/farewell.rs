//! How a thread of an instance tells that it ended, also if it panicked: the process must not go on as if the log
//! worked.

use tokio::sync::watch;

/// Says at its end what is wrong.
pub(super) struct Farewell {
    failed: watch::Sender<Option<String>>,
    /// `None`: nothing is wrong.
    line: Option<String>,
}

impl Farewell {
    /// Without [`Farewell::ends`] the thread has panicked.
    pub(super) fn of(instance: &str, thread: &str, failed: watch::Sender<Option<String>>) -> Self {
        let line = format!(
            "instance {instance}: its {thread} thread panicked; this is a fault of headwater, please report it"
        );
        Self {
            failed,
            line: Some(line),
        }
    }

    /// The thread ends; `error` is why, if it should not.
    pub(super) fn ends(mut self, error: Option<String>) {
        self.line = error;
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.failed.send_replace(Some(line));
        }
    }
}
