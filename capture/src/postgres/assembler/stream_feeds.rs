//! What feeds of layout stream carry beside rows: the transactions' boundaries, and TRUNCATE, the one statement that
//! PostgreSQL's replication stream has.

use super::relations::Relations;
use crate::event::ChangeOrigin;
use crate::postgres::assembler::Assembler;
use crate::postgres::pgoutput;
use crate::postgres::query::identifier;

impl Assembler {
    pub(super) fn begin_streams(&mut self) {
        let safe_lsn = self.handover.assembled_end_lsn();
        for encoder in &mut self.encoders {
            if let Some(stream) = encoder.stream() {
                stream.begin(safe_lsn);
            }
        }
    }

    /// `origin`: of the commit.
    pub(super) fn commit_streams(&mut self, origin: &ChangeOrigin) {
        for (feed, encoder) in self.encoders.iter_mut().enumerate() {
            if let Some(stream) = encoder.stream() {
                stream.commit((&mut self.gather, feed), origin);
            }
        }
    }

    pub(super) fn abandon_streams(&mut self) {
        for encoder in &mut self.encoders {
            if let Some(stream) = encoder.stream() {
                stream.abandon();
            }
        }
    }

    /// `captured`: the relations that the filter lets through.
    pub(super) fn truncate_in_streams(
        &mut self,
        truncate: pgoutput::Truncate<'_>,
        captured: &[u32],
        origin: &ChangeOrigin,
    ) {
        let mut statement = None;
        for (feed, encoder) in self.encoders.iter_mut().enumerate() {
            if let Some(stream) = encoder.stream()
                && !captured.is_empty()
            {
                let relations = &self.relations;
                let text = statement.get_or_insert_with(|| text_of(truncate, captured, relations));
                stream.statement((&mut self.gather, feed), text, origin);
            }
        }
    }
}

/// `TRUNCATE TABLE "public"."orders", "public"."lines" RESTART IDENTITY CASCADE`.
fn text_of(truncate: pgoutput::Truncate<'_>, captured: &[u32], relations: &Relations) -> String {
    let named = captured.iter().filter_map(|oid| relations.name(*oid));
    let names: Vec<String> = named
        .map(|(schema, name)| format!("{}.{}", identifier(&schema), identifier(&name)))
        .collect();
    let restart = if truncate.flags & 2 != 0 {
        " RESTART IDENTITY"
    } else {
        ""
    };
    let cascade = if truncate.flags & 1 != 0 {
        " CASCADE"
    } else {
        ""
    };
    format!("TRUNCATE TABLE {}{restart}{cascade}", names.join(", "))
}
