//! What user-defined types are made of, from the server's catalog: domains down to their base, arrays to their
//! element, enums with their labels.
//!
//! A type's oid means the same for as long as the type exists, so the present catalog is right for rows of any age; for
//! a type that is gone by now, the stream's own type message has to do (`text::form_of_name`).

use std::collections::HashMap;
use std::sync::Arc;

use super::catalog::{QUERY_LIMIT, oid_list};
use crate::postgres::assembler::CatalogTable;
use crate::postgres::connection::Connection;
use crate::postgres::error::ConnectionError;
use crate::postgres::query::{Row, column};
use crate::postgres::text;
use crate::value::{ColumnType, ValueForm, ValueKind};

/// Domains over domains, or arrays of them, that are followed. Nobody nests them so deep; a server that names more is
/// not believed.
const DEPTH_MAX: usize = 32;

/// Types asked for by one query.
const ASKED_AT_ONCE: usize = 1000;

/// One row of `pg_type`.
#[derive(Debug, Clone)]
enum Type {
    /// Another type, perhaps with a modifier of its own (-1: none).
    Domain { base: u32, modifier: i32 },
    /// A true array: its element, and what stands between elements.
    Array { element: u32, delimiter: u8 },
    /// Labels in order, with commas between.
    Enum { labels: Arc<str> },
    /// Anything else, by its name.
    Other { name: String },
}

type Types = HashMap<u32, Type>;

/// Fills in `value_type` of every column.
///
/// # Errors
/// The connection is lost or the catalog cannot be read.
pub(super) async fn resolve(
    connection: &mut Connection,
    tables: &mut HashMap<u32, CatalogTable>,
) -> Result<(), ConnectionError> {
    let columns = tables.values().flat_map(|table| &table.columns);
    let mut wanted: Vec<u32> = columns.map(|column| column.type_oid).collect();
    let mut types = Types::new();
    for _ in 0..DEPTH_MAX {
        wanted.retain(|oid| text::built_in(*oid).is_none() && !types.contains_key(oid));
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            break;
        }
        let found = ask(connection, &wanted).await?;
        wanted = found.values().filter_map(Type::made_of).collect();
        types.extend(found);
    }
    for column in tables.values_mut().flat_map(|table| &mut table.columns) {
        column.value_type = value_type(&types, column.type_oid, column.type_modifier);
    }
    Ok(())
}

impl Type {
    /// The type that must be known too.
    fn made_of(&self) -> Option<u32> {
        match self {
            Self::Domain { base, .. } => Some(*base),
            Self::Array { element, .. } => Some(*element),
            Self::Enum { .. } | Self::Other { .. } => None,
        }
    }
}

async fn ask(connection: &mut Connection, oids: &[u32]) -> Result<Types, ConnectionError> {
    let mut types = Types::new();
    for chunk in oids.chunks(ASKED_AT_ONCE) {
        let rows = connection.query(&types_sql(chunk), QUERY_LIMIT).await?;
        types.extend(rows.iter().filter_map(parse));
    }
    Ok(types)
}

/// A type is a true array if it is its element's array type: `int2vector` has elements and another text form.
fn types_sql(oids: &[u32]) -> String {
    format!(
        "SELECT t.oid, t.typtype, t.typname, t.typbasetype, t.typtypmod, e.oid, e.typdelim, \
         (SELECT string_agg(l.enumlabel, ',' ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum l \
          WHERE l.enumtypid = t.oid) \
         FROM pg_catalog.pg_type t \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid \
         WHERE t.oid IN ({})",
        oid_list(oids)
    )
}

fn parse(row: &Row) -> Option<(u32, Type)> {
    let oid = |index| column(row, index).and_then(|oid| oid.parse::<u32>().ok());
    let text = |index| column(row, index).unwrap_or_default().to_owned();
    let parsed = match (column(row, 1), oid(5)) {
        (_, Some(element)) => Type::Array {
            element,
            delimiter: column(row, 6).and_then(|text| text.bytes().next())?,
        },
        (Some("d"), None) => Type::Domain {
            base: oid(3)?,
            modifier: column(row, 4)?.parse().ok()?,
        },
        (Some("e"), None) => Type::Enum {
            labels: column(row, 7).unwrap_or_default().into(),
        },
        (Some(_) | None, None) => Type::Other { name: text(2) },
    };
    Some((oid(0)?, parsed))
}

/// What is at the bottom of a type. `modifier`: the column's own, -1 if none.
fn value_type(types: &Types, type_oid: u32, modifier: i32) -> ColumnType {
    let mut found = ColumnType {
        modifier,
        ..ColumnType::default()
    };
    let mut oid = type_oid;
    for _ in 0..DEPTH_MAX {
        if let Some(form) = text::built_in(oid) {
            // An array of a domain over an array is nested deeper than a literal shows.
            if form.array_delimiter.is_some() && found.form.array_delimiter.is_some() {
                found.form.kind = ValueKind::Text;
            } else {
                found.base_oid = text::base_oid(oid);
                found.form.kind = form.kind;
                found.form.array_delimiter = found.form.array_delimiter.or(form.array_delimiter);
            }
            return found;
        }
        match types.get(&oid) {
            Some(Type::Domain { base, modifier }) => {
                found.modifier = if found.modifier == -1 {
                    *modifier
                } else {
                    found.modifier
                };
                oid = *base;
            }
            Some(Type::Array { element, delimiter }) if found.form.array_delimiter.is_none() => {
                found.form.array_delimiter = Some(*delimiter);
                oid = *element;
            }
            Some(Type::Enum { labels }) => {
                found.form.kind = ValueKind::Enum;
                found.labels = Some(Arc::clone(labels));
                return found;
            }
            Some(Type::Other { name }) => {
                found.form.kind = text::kind_of_extension(name).unwrap_or(ValueKind::Text);
                return found;
            }
            Some(Type::Array { .. }) | None => return found,
        }
    }
    ColumnType::of(ValueForm::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        let labels = "sad,ok".into();
        let domain = |base, modifier| Type::Domain { base, modifier };
        let array = |element| Type::Array {
            element,
            delimiter: b',',
        };
        let other = |name: &str| Type::Other {
            name: name.to_owned(),
        };
        [
            (1, Type::Enum { labels }),
            (2, array(1)),
            (3, domain(1, -1)),
            (4, domain(1700, 655_366)),
            (5, domain(4, -1)),
            (6, array(5)),
            (7, other("hstore")),
            (8, array(7)),
            (9, other("pair")),
            (10_000, domain(1007, -1)),
            (10_001, array(10_000)),
            (10_002, domain(10_002, -1)),
        ]
        .map(|(oid, described)| (oid + 20_000, shifted(described)))
        .into()
    }

    /// Test oids are small; those of users are not.
    fn shifted(described: Type) -> Type {
        let shift = |oid| {
            if !(100..10_000).contains(&oid) {
                oid + 20_000
            } else {
                oid
            }
        };
        match described {
            Type::Domain { base, modifier } => Type::Domain {
                base: shift(base),
                modifier,
            },
            Type::Array { element, delimiter } => Type::Array {
                element: shift(element),
                delimiter,
            },
            other @ (Type::Enum { .. } | Type::Other { .. }) => other,
        }
    }

    fn found(oid: u32) -> (ValueKind, bool, i32, Option<String>) {
        let found = value_type(&types(), 20_000 + oid, -1);
        let labels = found.labels.map(|labels| labels.to_string());
        (
            found.form.kind,
            found.form.array_delimiter.is_some(),
            found.modifier,
            labels,
        )
    }

    #[test]
    fn domains_and_arrays_are_followed_to_what_they_are_made_of() {
        let labels = Some("sad,ok".to_owned());
        assert_eq!(found(1), (ValueKind::Enum, false, -1, labels.clone()));
        assert_eq!(found(2), (ValueKind::Enum, true, -1, labels.clone()));
        assert_eq!(found(3), (ValueKind::Enum, false, -1, labels));
        assert_eq!(found(5), (ValueKind::Decimal, false, 655_366, None));
        assert_eq!(found(6), (ValueKind::Decimal, true, 655_366, None));
        assert_eq!(found(8), (ValueKind::Pairs, true, -1, None));
        assert_eq!(found(9), (ValueKind::Text, false, -1, None));
        assert_eq!(found(77), (ValueKind::Text, false, -1, None), "unknown");
    }

    #[test]
    fn arrays_within_arrays_stay_texts_and_a_circle_ends() {
        assert_eq!(found(10_000), (ValueKind::Int32, true, -1, None));
        assert_eq!(found(10_001), (ValueKind::Text, true, -1, None));
        assert_eq!(found(10_002), (ValueKind::Text, false, -1, None));
    }
}
