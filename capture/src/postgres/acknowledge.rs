//! Which LSN the server may be told. Pure.
//!
//! The server deletes what is acknowledged, and believes anything: an acknowledgement from the far future
//! makes it skip everything up to there (measured on 15). So the flush position is
//!
//! ```text
//! min(durable in our log, highest LSN the server itself sent on this connection), never going back
//! ```
//!
//! Manual: "Streaming Replication Protocol", Standby status update.

/// What stands in a standby status update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Positions {
    /// Highest LSN received.
    pub(crate) write: u64,
    /// Everything below is durable here; 0 says nothing.
    pub(crate) flush: u64,
}

/// The acknowledgements of one source, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Acknowledge {
    durable: u64,
    server_sent: u64,
    told: u64,
}

impl Acknowledge {
    /// A new connection: what the server sent on an earlier one, perhaps as another server, counts no more.
    pub(crate) fn connected(&mut self) {
        self.server_sent = 0;
        self.told = 0;
    }

    /// The server sent `lsn`: in XLogData (0 where it has none) or as a keepalive's end.
    pub(crate) fn server_sent(&mut self, lsn: u64) {
        self.server_sent = self.server_sent.max(lsn);
    }

    /// All below `lsn` is durable in the log.
    pub(crate) fn durable(&mut self, lsn: u64) {
        self.durable = self.durable.max(lsn);
    }

    /// Whether a status would move the server's flush position.
    pub(crate) fn has_news(&self) -> bool {
        self.flush() > self.told
    }

    /// The positions to send now.
    pub(crate) fn tell(&mut self) -> Positions {
        self.told = self.flush();
        Positions {
            write: self.server_sent,
            flush: self.told,
        }
    }

    /// The flush position last told on this connection.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// The highest LSN that the server sent on this connection.
    pub(crate) fn received(&self) -> u64 {
        self.server_sent
    }

    fn flush(&self) -> u64 {
        self.durable.min(self.server_sent)
    }
}

/// Standby status update: `r`, write, flush, apply u64, client time i64 (us since 2000), reply u8.
pub(crate) fn status_update(positions: Positions, unix_ms: i64, reply: bool) -> [u8; 34] {
    /// 2000-01-01 in unix ms.
    const EPOCH_2000_MS: i64 = 946_684_800_000;
    let time = unix_ms.saturating_sub(EPOCH_2000_MS).saturating_mul(1_000);
    let mut message = [0; 34];
    let fields = [
        &b"r"[..],
        &positions.write.to_be_bytes(),
        &positions.flush.to_be_bytes(),
        // Applied is what a consumer could see: the same as durable.
        &positions.flush.to_be_bytes(),
        &time.to_be_bytes(),
        &[u8::from(reply)],
    ];
    for (target, byte) in message.iter_mut().zip(fields.into_iter().flatten()) {
        *target = *byte;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_that_is_not_durable() {
        let mut acknowledge = Acknowledge::default();
        acknowledge.server_sent(100);
        assert_eq!(
            acknowledge.tell(),
            Positions {
                write: 100,
                flush: 0
            }
        );
        acknowledge.durable(40);
        assert!(acknowledge.has_news());
        assert_eq!(
            acknowledge.tell(),
            Positions {
                write: 100,
                flush: 40
            }
        );
        assert!(!acknowledge.has_news());
    }

    #[test]
    fn nothing_is_acknowledged_beyond_what_the_server_sent() {
        let mut acknowledge = Acknowledge::default();
        acknowledge.server_sent(100);
        acknowledge.durable(u64::MAX);
        assert_eq!(acknowledge.tell().flush, 100);
    }

    #[test]
    fn acknowledgements_never_go_back() {
        let mut acknowledge = Acknowledge::default();
        acknowledge.server_sent(100);
        acknowledge.durable(90);
        acknowledge.tell();
        acknowledge.durable(10);
        acknowledge.server_sent(0);
        assert_eq!(
            acknowledge.tell(),
            Positions {
                write: 100,
                flush: 90
            }
        );
    }

    #[test]
    fn a_new_connection_begins_with_what_its_server_sends() {
        let mut acknowledge = Acknowledge::default();
        acknowledge.server_sent(100);
        acknowledge.durable(100);
        acknowledge.tell();
        acknowledge.connected();
        assert_eq!(acknowledge.tell(), Positions { write: 0, flush: 0 });
        acknowledge.server_sent(50);
        assert_eq!(acknowledge.tell().flush, 50);
    }

    #[test]
    fn a_status_update_has_the_layout_of_the_manual() {
        let positions = Positions { write: 3, flush: 2 };
        let message = status_update(positions, 946_684_800_001, true);
        let expected = [
            &b"r"[..],
            &3u64.to_be_bytes(),
            &2u64.to_be_bytes(),
            &2u64.to_be_bytes(),
            &1_000u64.to_be_bytes(),
            &[1],
        ]
        .concat();
        assert_eq!(message.as_slice(), expected);
    }
}
