//! Why the stream cannot go on.

use crate::event::ChangeOrigin;
use crate::postgres::binary::{Unreadable, Why};
use crate::postgres::pgoutput::DecodeError;
use crate::postgres::position::Lsn;
use crate::table::Table;

/// Why the stream cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The bytes are no pgoutput of version 1.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// A message that cannot come at this place.
    #[error("pgoutput message out of place, {what} lsn={lsn}")]
    OutOfPlace {
        /// What is wrong.
        what: &'static str,
        /// Where: the transaction's final LSN, or where the message lies if there is none.
        lsn: Lsn,
    },
    /// A record beyond `record_bytes_max`. The same row will come again after a reconnect.
    #[error(
        "record too large schema={schema:?} table={table:?} bytes={bytes} limit={limit} \
         transaction={xid} commit_lsn={commit_lsn}"
    )]
    RecordTooLarge {
        /// The table.
        schema: String,
        /// The table.
        table: String,
        /// At least so many bytes.
        bytes: usize,
        /// See `CaptureLimits::record_bytes_max`.
        limit: usize,
        /// The transaction.
        xid: u32,
        /// The transaction.
        commit_lsn: Lsn,
    },
    /// A value in binary form, which no text can be made of here.
    #[error(
        "row of {schema}.{table} cannot be read: the server cannot send it as text (it would be over 1 GB), and \
         {why} column={column:?} type={type_name:?} transaction={xid} commit_lsn={commit_lsn}"
    )]
    Unreadable {
        /// The table.
        schema: String,
        /// The table.
        table: String,
        /// Its column.
        column: String,
        /// The column's type.
        type_name: String,
        /// What is the matter with the value.
        why: &'static str,
        /// The transaction.
        xid: u32,
        /// The transaction.
        commit_lsn: Lsn,
    },
    /// More relations than `relations_max`.
    #[error("the server named too many relations limit={limit}")]
    TooManyRelations {
        /// See `CaptureLimits::relations_max`.
        limit: usize,
    },
}

pub(super) fn out_of_place(what: &'static str, lsn: u64) -> AssembleError {
    AssembleError::OutOfPlace {
        what,
        lsn: Lsn(lsn),
    }
}

pub(super) fn unreadable(
    table: &Table,
    origin: &ChangeOrigin,
    unreadable: Unreadable,
) -> AssembleError {
    let column = table.columns.get(unreadable.column);
    AssembleError::Unreadable {
        schema: table.schema.clone(),
        table: table.name.clone(),
        column: column.map_or_else(String::new, |column| column.name.clone()),
        type_name: column.map_or_else(String::new, |column| {
            if column.type_name.is_empty() {
                format!("oid {}", column.type_oid)
            } else {
                column.type_name.clone()
            }
        }),
        why: match unreadable.why {
            Why::Unknown => "there is no text for the binary form of this value;",
            Why::Malformed => "the binary form of this value is not that of its type;",
        },
        xid: u32::try_from(origin.transaction_id).unwrap_or(u32::MAX),
        commit_lsn: Lsn(origin.commit_lsn),
    }
}

pub(super) fn record_too_large(
    table: &Table,
    origin: &ChangeOrigin,
    bytes: usize,
    limit: usize,
) -> AssembleError {
    AssembleError::RecordTooLarge {
        schema: table.schema.clone(),
        table: table.name.clone(),
        bytes,
        limit,
        xid: u32::try_from(origin.transaction_id).unwrap_or(u32::MAX),
        commit_lsn: Lsn(origin.commit_lsn),
    }
}
