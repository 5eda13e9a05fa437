//! Truncations: a record for each table in feeds whose format has a form for them, the statement in streams, a count
//! for the others.

use super::error::AssembleError;
use super::relations::Resolved;
use super::{Assembler, Pushed};
use crate::encode::Encoder;
use crate::event::ChangeOrigin;
use crate::postgres::pgoutput;

impl Assembler {
    pub(super) fn truncate(
        &mut self,
        truncate: pgoutput::Truncate<'_>,
        (lsn, now_ms): (u64, i64),
    ) -> Result<Pushed, AssembleError> {
        let open = *self.open_for(lsn)?;
        if !open.is_known {
            let is_captured = |oid: &u32| self.relations.is_captured(*oid);
            let captured: Vec<u32> = truncate.relations().filter(is_captured).collect();
            if self.encoders.iter().any(Encoder::writes_truncates) {
                let asks = |oid: &u32| self.relations.wants_catalog(*oid);
                let unknown: Vec<u32> = captured.iter().copied().filter(asks).collect();
                if !unknown.is_empty() {
                    return Ok(Pushed::NeedsCatalog(unknown));
                }
            }
            let origin = open.origin((lsn, now_ms), self.previous_end_lsn);
            self.truncate_in_streams(truncate, &captured, &origin);
            for relation in captured {
                self.truncated(relation, &origin)?;
            }
        }
        self.open_for(lsn)?.ordinal += 1;
        Ok(Pushed::Continue)
    }

    /// Renders the truncation of one table for every feed that has a form for it; counts the others.
    fn truncated(&mut self, relation: u32, origin: &ChangeOrigin) -> Result<(), AssembleError> {
        if self
            .encoders
            .iter()
            .any(|encoder| !encoder.is_stream() && !encoder.writes_truncates())
        {
            self.counters.truncates_skipped += 1;
        }
        if !self.encoders.iter().any(Encoder::writes_truncates) {
            return Ok(());
        }
        let index = match self.relations.resolve(relation) {
            Resolved::Known { index } => index,
            Resolved::Anew {
                index,
                table,
                is_news,
            } => self.learn(index, table, is_news),
            Resolved::Ask | Resolved::Unknown | Resolved::Excluded => return Ok(()),
        };
        let key = self.prepared(index);
        let Self {
            encoders, gather, ..
        } = self;
        let writing = encoders.iter_mut().enumerate();
        let mut writing = writing.filter(|(_, encoder)| encoder.writes_truncates());
        let encoded = writing
            .try_for_each(|(feed, encoder)| encoder.append_truncate((gather, feed), key, origin));
        let table = self.relations.table(index);
        encoded.map_err(|too_large| self.too_large(&table, origin, too_large))?;
        self.counters.changes += 1;
        self.gather.count_change();
        Ok(())
    }
}
