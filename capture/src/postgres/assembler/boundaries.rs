//! The boundaries of transactions in per-table feeds that have a topic for them.
//!
//! They are written for each transaction that the server sends, also one without a captured row.

use super::Assembler;
use super::error::{AssembleError, record_too_large};
use crate::encode::Boundary;
use crate::event::ChangeOrigin;
use crate::table::Table;

impl Assembler {
    /// Renders a boundary of the open transaction for every feed that carries boundaries; its key is told before it.
    pub(super) fn boundary(
        &mut self,
        boundary: Boundary,
        origin: &ChangeOrigin,
    ) -> Result<(), AssembleError> {
        if !self.transaction_feeds.contains(&true) {
            return Ok(());
        }
        let (key, news) = self.relations.transactions();
        if let Some(table) = news {
            self.handover.tell(table, true);
        }
        let Self {
            encoders, gather, ..
        } = self;
        for (feed, encoder) in encoders.iter_mut().enumerate() {
            if self.transaction_feeds.get(feed) != Some(&true) {
                continue;
            }
            let lane = (&mut *gather, feed);
            let encoded = encoder.append_boundary(lane, (key, boundary), origin);
            encoded.map_err(|record| {
                let table = Table::of_transactions(key);
                record_too_large(&table, origin, record.bytes, self.record_bytes_max)
            })?;
        }
        Ok(())
    }
}
