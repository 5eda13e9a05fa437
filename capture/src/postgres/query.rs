//! Simple queries: rows of text. Enough for the catalog, publications and the slot's replies.

use std::time::Duration;

pub(crate) use postgres_protocol::escape::{
    escape_identifier as identifier, escape_literal as literal,
};

use super::connection::{Connection, within};
use super::error::{ConnectionError, ServerError};
use super::message::{MessageError, ServerMessage, data_row};

/// All rows of one answer together.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// One row; `None` is NULL.
pub type Row = Vec<Option<String>>;

impl Connection {
    /// Runs one or more statements (several are one transaction) and gives the rows of all of them.
    ///
    /// # Errors
    /// The server refuses (the connection stays usable, unless it was FATAL), the connection is lost, or
    /// `limit` has passed (the connection has to be dropped: the answer may still come).
    pub async fn query(&mut self, sql: &str, limit: Duration) -> Result<Vec<Row>, ConnectionError> {
        self.queue_query(sql)?;
        within(limit, "query", self.rows()).await
    }

    /// The answer to a query that was queued. Cancel safe only in that the connection has to be dropped then.
    pub(crate) async fn rows(&mut self) -> Result<Vec<Row>, ConnectionError> {
        let mut rows = Vec::new();
        let mut bytes = 0_usize;
        let mut refusal: Option<ServerError> = None;
        loop {
            let frame = match self.receive().await {
                Ok(frame) => frame,
                // After a FATAL error the server closes; what it said is the better answer.
                Err(error) => return Err(refusal.map_or(error, server_error)),
            };
            match frame.parse()? {
                ServerMessage::DataRow(row) => {
                    bytes = bytes.saturating_add(row.len());
                    if bytes > ANSWER_BYTES_MAX {
                        let limit = ANSWER_BYTES_MAX;
                        return Err(MessageError::TooLarge {
                            tag: b'D',
                            announced: bytes,
                            limit,
                        }
                        .into());
                    }
                    rows.push(data_row(row)?);
                }
                ServerMessage::ErrorResponse(error) => refusal = refusal.or(Some(error)),
                ServerMessage::ReadyForQuery => {
                    return refusal.map_or(Ok(rows), |e| Err(server_error(e)));
                }
                ServerMessage::RowDescription
                | ServerMessage::CommandComplete
                | ServerMessage::EmptyQueryResponse
                | ServerMessage::NoticeResponse(_)
                | ServerMessage::NotificationResponse
                | ServerMessage::ParameterStatus { .. } => {}
                ServerMessage::Authentication(_)
                | ServerMessage::BackendKeyData { .. }
                | ServerMessage::NegotiateProtocolVersion
                | ServerMessage::CopyBothResponse
                | ServerMessage::CopyData(_)
                | ServerMessage::CopyDone => return Err(frame.unexpected("query")),
            }
        }
    }

    /// Runs a command that opens a replication stream.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub(crate) async fn copy_both(
        &mut self,
        command: &str,
        limit: Duration,
    ) -> Result<(), ConnectionError> {
        self.queue_query(command)?;
        within(limit, "start of replication", self.until_copy_both()).await
    }

    async fn until_copy_both(&mut self) -> Result<(), ConnectionError> {
        loop {
            let frame = self.receive().await?;
            match frame.parse()? {
                ServerMessage::CopyBothResponse => return Ok(()),
                ServerMessage::ErrorResponse(error) => return Err(server_error(error)),
                ServerMessage::NoticeResponse(_) | ServerMessage::ParameterStatus { .. } => {}
                ServerMessage::Authentication(_)
                | ServerMessage::BackendKeyData { .. }
                | ServerMessage::NegotiateProtocolVersion
                | ServerMessage::ReadyForQuery
                | ServerMessage::RowDescription
                | ServerMessage::DataRow(_)
                | ServerMessage::CommandComplete
                | ServerMessage::EmptyQueryResponse
                | ServerMessage::NotificationResponse
                | ServerMessage::CopyData(_)
                | ServerMessage::CopyDone => return Err(frame.unexpected("start of replication")),
            }
        }
    }
}

fn server_error(error: ServerError) -> ConnectionError {
    ConnectionError::Server(Box::new(error))
}

/// A column of a row, if it is there and not NULL.
pub(crate) fn column(row: &Row, index: usize) -> Option<&str> {
    row.get(index)?.as_deref()
}

/// A boolean column; NULL counts as false.
pub(crate) fn flag(row: &Row, index: usize) -> bool {
    column(row, index) == Some("t")
}

/// `schema.table`, quoted where needed: always.
pub(crate) fn table_name(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        assert_eq!(
            table_name("Odd \"one\"", "a.b"),
            "\"Odd \"\"one\"\"\".\"a.b\""
        );
        assert_eq!(
            identifier("x\"; DROP TABLE y; --"),
            "\"x\"\"; DROP TABLE y; --\""
        );
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), " E'a\\\\b'");
    }
}
