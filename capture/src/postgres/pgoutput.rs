//! pgoutput, protocol version 1: messages decoded in place.
//!
//! Nothing is copied and nothing allocated: a [`Message`] borrows from the bytes it was decoded from. Every
//! length is checked here, once, so that a [`Tuple`] can be walked again without errors. Work is linear in
//! the message's length. Version 1 sends committed transactions only, whole, one after another; messages
//! of later versions (streaming, two-phase) are unknown here.
//!
//! Integers are big endian, a string ends with NUL. Manual: "Logical Replication Message Formats".
//!
//! | tag | message | layout behind the tag |
//! |---|---|---|
//! | B | begin | final LSN u64, commit time i64 (us since 2000-01-01), xid u32 |
//! | C | commit | flags u8, commit LSN u64, end LSN u64, commit time i64 |
//! | O | origin | LSN u64, name |
//! | R | relation | oid u32, schema (empty: pg_catalog), name, identity u8, count i16, columns |
//! | Y | type | oid u32, schema, name; of a domain, schema and name are its base type's |
//! | I | insert | relation u32, `N` tuple |
//! | U | update | relation u32, perhaps `K` or `O` and the old tuple, `N` tuple |
//! | D | delete | relation u32, `K` or `O` and the old tuple |
//! | T | truncate | count u32, flags u8, relations u32 each |
//! | M | logical message | flags u8, LSN u64, prefix, length u32, bytes |
//!
//! A column of a relation: flags u8 (1: part of the replica identity), name, type u32, modifier i32.
//! A tuple: count i16, then each column as `n` (null), `u` (unchanged, stored out of line, not sent), or
//! `t` with length i32 and text, or, only when asked for, `b` with length i32 and the binary form.

mod cursor;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod wire;

use cursor::Cursor;

use crate::table::ReplicaIdentity;

/// The bytes are not a message of pgoutput version 1. The connection cannot be trusted any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The tag is not one of the ten.
    #[error("unknown pgoutput message tag={:?}", char::from(*.0))]
    UnknownTag(u8),
    /// A length or a string reaches beyond the end.
    #[error("pgoutput message ends too early reading={0}")]
    Truncated(&'static str),
    /// Bytes are left over.
    #[error("pgoutput message has bytes behind its end tag={:?}", char::from(*.0))]
    TooLong(u8),
    /// A length or count is negative, or a code is none of those defined.
    #[error("pgoutput message has an impossible value reading={0}")]
    Impossible(&'static str),
    /// A name is not UTF-8, though the session asked for it.
    #[error("pgoutput message has a name that is not UTF-8 reading={0}")]
    NotUtf8(&'static str),
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins; it is committed already.
    Begin(Begin),
    /// It ends.
    Commit(Commit),
    /// It came here by replication from elsewhere.
    Origin(Origin<'a>),
    /// The definition that the next rows of a relation have.
    Relation(Relation<'a>),
    /// A type that is not built in.
    Type(Type<'a>),
    /// A row was inserted.
    Insert(Insert<'a>),
    /// A row was changed.
    Update(Update<'a>),
    /// A row was deleted.
    Delete(Delete<'a>),
    /// Tables were emptied.
    Truncate(Truncate<'a>),
    /// `pg_logical_emit_message`.
    Logical(Logical<'a>),
}

/// `B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Where the commit record starts.
    pub final_lsn: u64,
    /// Microseconds since 2000-01-01 UTC.
    pub commit_time_us: i64,
    /// Transaction id; 32 bit, wraps.
    pub xid: u32,
}

/// `C`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Equal to the begin's `final_lsn`.
    pub commit_lsn: u64,
    /// Where the commit record ends; reading resumes here.
    pub end_lsn: u64,
    /// Microseconds since 2000-01-01 UTC.
    pub commit_time_us: i64,
}

/// `O`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The commit's LSN on its origin server.
    pub lsn: u64,
    /// The origin's name.
    pub name: &'a str,
}

/// `R`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// `pg_class.oid`.
    pub relation: u32,
    /// Empty for `pg_catalog`.
    pub schema: &'a str,
    /// Unquoted.
    pub name: &'a str,
    /// See [`ReplicaIdentity`].
    pub identity: ReplicaIdentity,
    column_count: usize,
    columns: &'a [u8],
}

/// One column of a [`Relation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether it is part of the replica identity.
    pub identity: bool,
    /// Unquoted.
    pub name: &'a str,
    /// The type's oid; a domain's own.
    pub type_oid: u32,
    /// `atttypmod`, -1 if none.
    pub type_modifier: i32,
}

/// `Y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type<'a> {
    /// `pg_type.oid`; a domain's own.
    pub type_oid: u32,
    /// Empty for `pg_catalog`.
    pub schema: &'a str,
    /// The type's name; for a domain that of its base type.
    pub name: &'a str,
}

/// `I`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insert<'a> {
    /// Announced by a [`Relation`] on the same connection.
    pub relation: u32,
    /// The new row.
    pub new: Tuple<'a>,
}

/// `U`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// Announced by a [`Relation`] on the same connection.
    pub relation: u32,
    /// Absent where identity columns did not change and the identity is not FULL.
    pub old: Option<OldTuple<'a>>,
    /// The new row.
    pub new: Tuple<'a>,
}

/// `D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Announced by a [`Relation`] on the same connection.
    pub relation: u32,
    /// What identified the row.
    pub old: OldTuple<'a>,
}

/// The old row, or what identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// `K`: identity columns; all others are null, which means "not sent".
    Key(Tuple<'a>),
    /// `O`: every column (REPLICA IDENTITY FULL).
    Full(Tuple<'a>),
}

impl<'a> OldTuple<'a> {
    /// The columns, whichever they are.
    pub fn tuple(self) -> Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => tuple,
        }
    }
}

/// `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// 1: CASCADE, 2: RESTART IDENTITY.
    pub flags: u8,
    relations: &'a [u8],
}

impl Truncate<'_> {
    /// The emptied relations.
    pub fn relations(&self) -> impl Iterator<Item = u32> {
        let (oids, _) = self.relations.as_chunks();
        oids.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// `M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logical<'a> {
    /// Whether it belongs to the transaction around it; otherwise it stands outside of any.
    pub transactional: bool,
    /// Where it was written.
    pub lsn: u64,
    /// Who it is for.
    pub prefix: &'a str,
    /// What it says.
    pub content: &'a [u8],
}

/// The columns of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    column_count: usize,
    has_binary: bool,
    columns: &'a [u8],
}

/// One column of a [`Tuple`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datum<'a> {
    /// NULL; in an [`OldTuple::Key`] also "not sent".
    Null,
    /// Stored out of line, unchanged by this update, not sent.
    Unchanged,
    /// The output function's text.
    Text(&'a [u8]),
    /// The send function's bytes: only where replication was started with `binary`.
    Binary(&'a [u8]),
}

/// Decodes one message: the payload of one XLogData.
///
/// # Errors
/// [`DecodeError`]; the bytes are nothing that pgoutput version 1 in text mode sends.
pub fn decode(message: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut input = Cursor::new(message);
    let tag = input.u8("tag")?;
    let decoded = match tag {
        b'B' => Message::Begin(begin(&mut input)?),
        b'C' => Message::Commit(commit(&mut input)?),
        b'O' => Message::Origin(Origin {
            lsn: input.u64("origin lsn")?,
            name: input.string("origin name")?,
        }),
        b'R' => Message::Relation(relation(&mut input)?),
        b'Y' => Message::Type(Type {
            type_oid: input.u32("type oid")?,
            schema: input.string("type schema")?,
            name: input.string("type name")?,
        }),
        b'I' => Message::Insert(Insert {
            relation: input.u32("relation oid")?,
            new: new_tuple(&mut input)?,
        }),
        b'U' => Message::Update(update(&mut input)?),
        b'D' => Message::Delete(delete(&mut input)?),
        b'T' => Message::Truncate(truncate(&mut input)?),
        b'M' => Message::Logical(logical(&mut input)?),
        other => return Err(DecodeError::UnknownTag(other)),
    };
    if !input.is_empty() {
        return Err(DecodeError::TooLong(tag));
    }
    Ok(decoded)
}

fn begin(input: &mut Cursor<'_>) -> Result<Begin, DecodeError> {
    Ok(Begin {
        final_lsn: input.u64("final lsn")?,
        commit_time_us: input.i64("commit time")?,
        xid: input.u32("xid")?,
    })
}

fn commit(input: &mut Cursor<'_>) -> Result<Commit, DecodeError> {
    // Flags are unused in every version so far.
    input.u8("commit flags")?;
    Ok(Commit {
        commit_lsn: input.u64("commit lsn")?,
        end_lsn: input.u64("end lsn")?,
        commit_time_us: input.i64("commit time")?,
    })
}

fn relation<'a>(input: &mut Cursor<'a>) -> Result<Relation<'a>, DecodeError> {
    let relation = input.u32("relation oid")?;
    let schema = input.string("schema")?;
    let name = input.string("relation name")?;
    let identity = match input.u8("replica identity")? {
        b'd' => ReplicaIdentity::Default,
        b'i' => ReplicaIdentity::Index,
        b'f' => ReplicaIdentity::Full,
        b'n' => ReplicaIdentity::Nothing,
        _ => return Err(DecodeError::Impossible("replica identity")),
    };
    let column_count = input.count("column count")?;
    let columns = input
        .measure(|input| (0..column_count).try_for_each(|_| relation_column(input).map(|_| ())))?;
    Ok(Relation {
        relation,
        schema,
        name,
        identity,
        column_count,
        columns,
    })
}

fn relation_column<'a>(input: &mut Cursor<'a>) -> Result<RelationColumn<'a>, DecodeError> {
    Ok(RelationColumn {
        identity: input.u8("column flags")? & 1 != 0,
        name: input.string("column name")?,
        type_oid: input.u32("column type")?,
        type_modifier: input.i32("column type modifier")?,
    })
}

impl<'a> Relation<'a> {
    /// Columns in the order of every tuple that follows.
    pub fn columns(&self) -> impl Iterator<Item = RelationColumn<'a>> + use<'a> {
        let mut input = Cursor::new(self.columns);
        // None fails: decode walked them before.
        (0..self.column_count).map_while(move |_| relation_column(&mut input).ok())
    }
}

fn update<'a>(input: &mut Cursor<'a>) -> Result<Update<'a>, DecodeError> {
    let relation = input.u32("relation oid")?;
    let old = match input.peek() {
        Some(b'N') => None,
        Some(_) | None => Some(old_tuple(input)?),
    };
    Ok(Update {
        relation,
        old,
        new: new_tuple(input)?,
    })
}

fn delete<'a>(input: &mut Cursor<'a>) -> Result<Delete<'a>, DecodeError> {
    Ok(Delete {
        relation: input.u32("relation oid")?,
        old: old_tuple(input)?,
    })
}

fn old_tuple<'a>(input: &mut Cursor<'a>) -> Result<OldTuple<'a>, DecodeError> {
    match input.u8("old tuple")? {
        b'K' => Ok(OldTuple::Key(tuple(input)?)),
        b'O' => Ok(OldTuple::Full(tuple(input)?)),
        _ => Err(DecodeError::Impossible("old tuple")),
    }
}

fn new_tuple<'a>(input: &mut Cursor<'a>) -> Result<Tuple<'a>, DecodeError> {
    match input.u8("new tuple")? {
        b'N' => tuple(input),
        _ => Err(DecodeError::Impossible("new tuple")),
    }
}

fn tuple<'a>(input: &mut Cursor<'a>) -> Result<Tuple<'a>, DecodeError> {
    let column_count = input.count("tuple column count")?;
    let mut has_binary = false;
    let columns = input.measure(|input| {
        (0..column_count).try_for_each(|_| {
            has_binary |= matches!(datum(input)?, Datum::Binary(_));
            Ok(())
        })
    })?;
    Ok(Tuple {
        column_count,
        has_binary,
        columns,
    })
}

fn datum<'a>(input: &mut Cursor<'a>) -> Result<Datum<'a>, DecodeError> {
    match input.u8("column kind")? {
        b'n' => Ok(Datum::Null),
        b'u' => Ok(Datum::Unchanged),
        b't' => Ok(Datum::Text(input.sized("column text")?)),
        b'b' => Ok(Datum::Binary(input.sized("column bytes")?)),
        _ => Err(DecodeError::Impossible("column kind")),
    }
}

impl<'a> Tuple<'a> {
    /// Columns in the relation's order.
    pub fn columns(&self) -> impl Iterator<Item = Datum<'a>> + use<'a> {
        let mut input = Cursor::new(self.columns);
        // None fails: decode walked them before.
        (0..self.column_count).map_while(move |_| datum(&mut input).ok())
    }

    /// Whether a column came in binary form.
    pub fn has_binary(&self) -> bool {
        self.has_binary
    }

    /// How many columns there are.
    pub fn column_count(&self) -> usize {
        self.column_count
    }
}

fn truncate<'a>(input: &mut Cursor<'a>) -> Result<Truncate<'a>, DecodeError> {
    let count = input.u32("relation count")?;
    let flags = input.u8("truncate flags")?;
    let size = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(size_of::<u32>()))
        .ok_or(DecodeError::Impossible("relation count"))?;
    Ok(Truncate {
        flags,
        relations: input.bytes(size, "truncated relations")?,
    })
}

fn logical<'a>(input: &mut Cursor<'a>) -> Result<Logical<'a>, DecodeError> {
    Ok(Logical {
        transactional: input.u8("message flags")? & 1 != 0,
        lsn: input.u64("message lsn")?,
        prefix: input.string("message prefix")?,
        content: input.sized("message content")?,
    })
}
