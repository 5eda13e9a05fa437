//! Logical messages: `pg_logical_emit_message`, in the topic `<prefix>.message`.
//!
//! ```json
//! {"op":"m","ts_ms":1704164645700,"source":{...,"schema":"","table":"","txId":555,...},"transaction":null,
//!  "message":{"prefix":"app","content":"aGVsbG8="}}
//! ```
//!
//! Key: `{"prefix":"app"}`. `txId` is null for a message outside of a transaction.

use super::super::Scratch;
use super::super::template::Constants;
use super::{put_source_end, put_source_start, schema, transactions};
use crate::encode::json::TooLarge;
use crate::encode::{Encoded, Sink};
use crate::event::{ChangeOrigin, LogicalMessage};

/// `feed`: its constants, and whether schemas are written.
pub(in super::super) fn encode(
    scratch: &mut Scratch,
    (constants, with_schemas): (&Constants, bool),
    (message, origin): (&LogicalMessage<'_>, &ChangeOrigin),
    sink: &mut Sink<'_>,
) -> Result<(), TooLarge> {
    let (key, value) = (&mut scratch.key, &mut scratch.value);
    key.clear();
    value.clear();
    if with_schemas {
        key.raw(schema::MESSAGE_KEY.as_bytes());
        value.raw(schema::message_value().as_bytes());
    }
    key.raw(b"{\"prefix\":");
    key.string(message.prefix.as_bytes())?;
    key.raw(b"}");
    value.raw(b"{\"op\":\"m\",\"ts_ms\":");
    value.integer(origin.read_time_ms);
    let source = (
        constants.source_head.as_slice(),
        constants.database.as_slice(),
    );
    put_source_start(value, source, origin);
    value.raw(b",\"schema\":\"\",\"table\":\"\",\"txId\":");
    if message.is_transactional {
        value.integer(origin.transaction_id);
    } else {
        value.raw(b"null");
    }
    put_source_end(value, origin);
    value.raw(b"}");
    let transaction = scratch.transaction.as_mut();
    let transaction = transaction.filter(|_| message.is_transactional);
    transactions::put_block(value, transaction, transactions::MESSAGES, origin);
    value.raw(b",\"message\":{\"prefix\":");
    value.string(message.prefix.as_bytes())?;
    value.raw(b",\"content\":");
    value.base64(message.content)?;
    value.raw(b"}}");
    if with_schemas {
        key.raw(b"}");
        value.raw(b"}");
    }
    let record = Encoded::new(Some(scratch.key.bytes()), Some(scratch.value.bytes()));
    scratch.send(&record, sink)
}
