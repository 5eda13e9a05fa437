//! Logical messages (`pg_logical_emit_message`), inside of transactions and by themselves.

use super::error::{AssembleError, out_of_place, record_too_large};
use super::{Assembler, Pushed};
use crate::event::{ChangeOrigin, LogicalMessage};
use crate::postgres::pgoutput;
use crate::table::Table;

/// Prefixes of logical messages that headwater writes begin with this.
const OWN_MESSAGES: &str = "headwater.";

impl Assembler {
    pub(super) fn logical(
        &mut self,
        logical: pgoutput::Logical<'_>,
        now_ms: i64,
    ) -> Result<Pushed, AssembleError> {
        let message = LogicalMessage {
            is_transactional: logical.transactional,
            prefix: logical.prefix,
            content: logical.content,
        };
        if !logical.transactional {
            return self.lone_message(&message, (logical.lsn, now_ms));
        }
        let open = *self.open_for(logical.lsn)?;
        if !open.is_known {
            let origin = open.origin((logical.lsn, now_ms), self.previous_end_lsn);
            self.message(&message, &origin)?;
        }
        self.open_for(logical.lsn)?.ordinal += 1;
        Ok(Pushed::Continue)
    }

    /// A message outside of any transaction: a group by itself for the log. Its LSN is where its record ends, so that
    /// the server does not send it again from there, and a transaction may commit with the next record.
    fn lone_message(
        &mut self,
        message: &LogicalMessage<'_>,
        (lsn, now_ms): (u64, i64),
    ) -> Result<Pushed, AssembleError> {
        if self.open.is_some() {
            return Err(out_of_place("lone message inside a transaction", lsn));
        }
        if lsn <= self.handover.assembled_end_lsn() {
            return Ok(Pushed::Continue);
        }
        if !self.is_for_feeds(message) {
            self.counters.messages_skipped += 1;
            return Ok(Pushed::Continue);
        }
        let origin = ChangeOrigin {
            transaction_id: 0,
            commit_lsn: lsn,
            lsn,
            ordinal: 0,
            previous_end_lsn: self.previous_end_lsn,
            commit_time_us: now_ms.saturating_mul(1000),
            read_time_ms: now_ms,
        };
        self.gather.begin();
        let rendered = self.message(message, &origin);
        if rendered.is_err() {
            self.gather.abandon();
        }
        rendered?;
        self.gather.commit(origin.commit_time_ms());
        self.handover.transaction_ended(lsn, lsn);
        Ok(Pushed::TransactionEnd)
    }

    /// Messages of headwater itself are nobody's business.
    fn is_for_feeds(&self, message: &LogicalMessage<'_>) -> bool {
        self.message_feeds.contains(&true) && !message.prefix.starts_with(OWN_MESSAGES)
    }

    /// Renders a message for every feed that carries messages, or counts it.
    fn message(
        &mut self,
        message: &LogicalMessage<'_>,
        origin: &ChangeOrigin,
    ) -> Result<(), AssembleError> {
        if !self.is_for_feeds(message) {
            self.counters.messages_skipped += 1;
            return Ok(());
        }
        let (key, news) = self.relations.messages();
        if let Some(table) = news {
            self.handover.tell(table, self.open.is_some());
        }
        let Self {
            encoders,
            gather,
            message_feeds,
            ..
        } = self;
        for (feed, encoder) in encoders.iter_mut().enumerate() {
            if message_feeds.get(feed) != Some(&true) {
                continue;
            }
            let encoded = encoder.append_message((gather, feed), (key, message), origin);
            encoded.map_err(|record| {
                let table = Table::of_messages(key);
                record_too_large(&table, origin, record.bytes, self.record_bytes_max)
            })?;
        }
        self.counters.changes += 1;
        self.gather.count_change();
        Ok(())
    }
}
