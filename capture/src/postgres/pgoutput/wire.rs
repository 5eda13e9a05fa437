//! Writes pgoutput messages, for tests and measurements: what a server would send.

/// One column of a relation: flags, name, type oid, type modifier.
pub(crate) type ColumnSpec<'a> = (u8, &'a str, u32, i32);

/// One column of a tuple.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent<'a> {
    /// `n`
    Null,
    /// `u`
    Unchanged,
    /// `t`
    Text(&'a str),
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(text.as_bytes());
    out.push(0);
}

fn length(out: &mut Vec<u8>, size: usize) {
    out.extend(
        i32::try_from(size)
            .expect("a short test value")
            .to_be_bytes(),
    );
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend(i16::try_from(count).expect("few columns").to_be_bytes());
}

pub(crate) fn begin(final_lsn: u64, commit_time_us: i64, xid: u32) -> Vec<u8> {
    let mut out = vec![b'B'];
    out.extend(final_lsn.to_be_bytes());
    out.extend(commit_time_us.to_be_bytes());
    out.extend(xid.to_be_bytes());
    out
}

pub(crate) fn commit(commit_lsn: u64, end_lsn: u64, commit_time_us: i64) -> Vec<u8> {
    let mut out = vec![b'C', 0];
    out.extend(commit_lsn.to_be_bytes());
    out.extend(end_lsn.to_be_bytes());
    out.extend(commit_time_us.to_be_bytes());
    out
}

pub(crate) fn origin(lsn: u64, name: &str) -> Vec<u8> {
    let mut out = vec![b'O'];
    out.extend(lsn.to_be_bytes());
    string(&mut out, name);
    out
}

pub(crate) fn relation(
    oid: u32,
    (schema, name): (&str, &str),
    identity: u8,
    columns: &[ColumnSpec<'_>],
) -> Vec<u8> {
    let mut out = vec![b'R'];
    out.extend(oid.to_be_bytes());
    string(&mut out, schema);
    string(&mut out, name);
    out.push(identity);
    count(&mut out, columns.len());
    for (flags, name, type_oid, modifier) in columns {
        out.push(*flags);
        string(&mut out, name);
        out.extend(type_oid.to_be_bytes());
        out.extend(modifier.to_be_bytes());
    }
    out
}

pub(crate) fn type_message(oid: u32, schema: &str, name: &str) -> Vec<u8> {
    let mut out = vec![b'Y'];
    out.extend(oid.to_be_bytes());
    string(&mut out, schema);
    string(&mut out, name);
    out
}

fn tuple(out: &mut Vec<u8>, kind: u8, columns: &[Sent<'_>]) {
    out.push(kind);
    count(out, columns.len());
    for column in columns {
        match column {
            Sent::Null => out.push(b'n'),
            Sent::Unchanged => out.push(b'u'),
            Sent::Text(text) => {
                out.push(b't');
                length(out, text.len());
                out.extend(text.as_bytes());
            }
        }
    }
}

fn row(tag: u8, oid: u32) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend(oid.to_be_bytes());
    out
}

pub(crate) fn insert(oid: u32, new: &[Sent<'_>]) -> Vec<u8> {
    let mut out = row(b'I', oid);
    tuple(&mut out, b'N', new);
    out
}

/// `old`: `K` or `O`, and the columns.
pub(crate) fn update(oid: u32, old: Option<(u8, &[Sent<'_>])>, new: &[Sent<'_>]) -> Vec<u8> {
    let mut out = row(b'U', oid);
    if let Some((kind, columns)) = old {
        tuple(&mut out, kind, columns);
    }
    tuple(&mut out, b'N', new);
    out
}

pub(crate) fn delete(oid: u32, (kind, old): (u8, &[Sent<'_>])) -> Vec<u8> {
    let mut out = row(b'D', oid);
    tuple(&mut out, kind, old);
    out
}

pub(crate) fn truncate(flags: u8, relations: &[u32]) -> Vec<u8> {
    let mut out = vec![b'T'];
    length(&mut out, relations.len());
    out.push(flags);
    for oid in relations {
        out.extend(oid.to_be_bytes());
    }
    out
}

pub(crate) fn logical(transactional: bool, lsn: u64, prefix: &str, content: &[u8]) -> Vec<u8> {
    let mut out = vec![b'M', u8::from(transactional)];
    out.extend(lsn.to_be_bytes());
    string(&mut out, prefix);
    length(&mut out, content.len());
    out.extend(content);
    out
}
