//! Tables as the records describe them, and what is constant in all records of one.

use super::avro::AvroWriter;
use super::image::{ColumnPlan, Rendering};
use crate::encode::json::JsonBuffer;

/// A table in DTS's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// Database and table, or database, schema and table, as they are called.
    pub name: Vec<String>,
    /// All columns, in the order of the images.
    pub columns: Vec<ColumnShape>,
    /// Primary key (called `PRIMARY`) and unique keys, with their columns: `pk_uk_info`. Clients end at a column
    /// that is not in `columns`. May be empty.
    pub keys: Vec<(String, Vec<String>)>,
    /// Logical database and table of a sharded source.
    pub logical: Option<(String, String)>,
}

/// A column in DTS's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnShape {
    /// Its name.
    pub name: String,
    /// `dataTypeNumber`: what a client casts by, so number and rendering are a pair.
    pub number: i32,
    /// How its values are written.
    pub rendering: Rendering,
    /// Whether old rows hold it where the source does not send them in full.
    pub identity: bool,
    /// Whether records leave it out.
    pub is_excluded: bool,
}

impl ColumnShape {
    fn plan(&self) -> ColumnPlan {
        ColumnPlan {
            rendering: self.rendering,
            identity: self.identity,
            is_excluded: self.is_excluded,
        }
    }
}

/// Rendered parts of a table's records.
#[derive(Debug)]
pub(super) struct TableTemplate {
    /// The field `objectName`.
    pub(super) object: Vec<u8>,
    /// Entries of the map `tags`.
    pub(super) tags: Vec<u8>,
    pub(super) tag_count: usize,
    /// The field `fields`.
    pub(super) fields: Vec<u8>,
    /// One for each value of a row.
    pub(super) columns: Vec<ColumnPlan>,
}

impl TableTemplate {
    pub(super) fn new(shape: &TableShape) -> Self {
        let fields = fields(&shape.columns);
        let name: Vec<String> = shape.name.iter().map(|part| escaped(part)).collect();
        let mut template = Self {
            object: object_name(Some(&name.join("."))),
            tags: Vec::new(),
            tag_count: 0,
            columns: shape.columns.iter().map(ColumnShape::plan).collect(),
            fields,
        };
        let keys = key_info(&shape.keys);
        let version = meta_version([&template.fields, keys.as_slice()]);
        if !shape.keys.is_empty() {
            template.add_tag("pk_uk_info", &keys);
        }
        template.add_tag("metaVersion", version.to_string().as_bytes());
        if let Some((database, table)) = &shape.logical {
            template.add_tag("l_db_name", database.as_bytes());
            template.add_tag("l_tb_name", table.as_bytes());
        }
        template
    }

    fn add_tag(&mut self, key: &str, value: &[u8]) {
        let mut out = AvroWriter::new(&mut self.tags, usize::MAX);
        out.bytes(key.as_bytes());
        out.bytes(value);
        self.tag_count += 1;
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let columns = size_of::<ColumnPlan>() * self.columns.len();
        size_of::<Self>() + self.object.len() + self.tags.len() + self.fields.len() + columns
    }
}

/// The field `objectName`.
pub(super) fn object_name(name: Option<&str>) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut out = AvroWriter::new(&mut encoded, usize::MAX);
    match name {
        Some(name) => {
            out.long(1);
            out.bytes(name.as_bytes());
        }
        None => out.null(),
    }
    encoded
}

/// A part of an object name: a dot is written as these six characters, which clients turn back.
pub(super) fn escaped(name: &str) -> String {
    name.replace('.', "\\u002E")
}

/// Branch 2, an array in one block.
fn fields(columns: &[ColumnShape]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut out = AvroWriter::new(&mut encoded, usize::MAX);
    let shown = || columns.iter().filter(|column| !column.is_excluded);
    out.long(2);
    if shown().next().is_some() {
        out.count(shown().count());
    }
    for column in shown() {
        out.bytes(column.name.as_bytes());
        out.long(i64::from(column.number));
    }
    out.raw(&[0]);
    encoded
}

/// `{"PRIMARY":["id"],"by_code":["code"]}`.
pub(super) fn key_info(keys: &[(String, Vec<String>)]) -> Vec<u8> {
    let mut json = JsonBuffer::new(usize::MAX);
    let string = |json: &mut JsonBuffer, text: &String| {
        json.string(text.as_bytes())
            .expect("a buffer without limit takes every name");
    };
    let mut separator: &[u8] = b"{";
    for (name, columns) in keys {
        json.raw(separator);
        string(&mut json, name);
        json.raw(b":[");
        for (index, column) in columns.iter().enumerate() {
            json.raw(if index == 0 { b"" } else { b"," });
            string(&mut json, column);
        }
        json.raw(b"]");
        separator = b",";
    }
    json.raw(if keys.is_empty() { b"{}" } else { b"}" });
    json.bytes().to_vec()
}

/// A positive number that is another one for another definition, and the same for the same one over restarts:
/// clients keep what they decoded of `fields` by object name and this number. FNV-1a of 64 bits, folded.
fn meta_version(parts: [&[u8]; 2]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    1 + (hash ^ (hash >> 31)) % 0x7FFF_FFFE
}
