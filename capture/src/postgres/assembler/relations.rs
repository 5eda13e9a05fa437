//! The definitions that the server announced, and what the catalog adds to them.
//!
//! A relation costs its message's bytes and a little bookkeeping, so that a hundred thousand of them fit a
//! few dozen megabytes; the [`Table`] is made from these when it is needed. A relation that the filter
//! excludes costs a map entry. The server announces a relation once per connection before its first row,
//! and again when its definition may have changed.
//!
//! | known about a relation | a row of it |
//! |---|---|
//! | nothing on this connection | is a fault of the server |
//! | message, excluded by the filter | is skipped |
//! | message, catalog not asked since | [`Resolved::Ask`] |
//! | message, catalog answered | is [`Resolved::Anew`], the next ones [`Resolved::Known`] |
//! | message, catalog no longer knows it | likewise, with a key as far as it is certain |
//!
//! What the catalog said before the connection's first message of a relation counts only where the two
//! agree about the primary key and no type is new.

use std::collections::HashMap;

use super::catalog::CatalogTable;
use super::names::Names;
use super::primary_key::{EarlierKeys, KeyNames, key_names, mark_primary_key};
use crate::filter::{ColumnFilter, TableFilter};
use crate::limits::SENT_TYPES_MAX;
use crate::postgres::binary::BinaryForm;
use crate::postgres::pgoutput::{self, Message};
use crate::postgres::text;
use crate::table::{Column, ReplicaIdentity, Table, TableKey, UniqueKey};
use crate::value::{ColumnType, ValueForm};

/// More relations than `CaptureLimits::relations_max`, or more names of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// See the module.
#[derive(Debug)]
pub(super) struct Relations {
    filter: TableFilter,
    columns: ColumnFilter,
    relations_max: usize,
    by_oid: HashMap<u32, usize>,
    list: Vec<Entry>,
    /// The last lookup: rows of a table come in runs.
    last: Option<(u32, usize)>,
    names: Names,
    earlier_keys: EarlierKeys,
    /// Of logical messages, once there was one.
    messages: Option<TableKey>,
    /// Of the transactions' boundaries, likewise.
    transactions: Option<TableKey>,
    /// Types that only type messages named so far.
    sent_types: HashMap<u32, ValueForm>,
    /// What the catalog says of types, by oid.
    catalog_types: HashMap<u32, KnownType>,
}

/// A type as the catalog knows it. The meaning of an oid never changes while a type exists; only an enum may get
/// more labels.
#[derive(Debug, PartialEq, Eq)]
struct KnownType {
    /// `format_type`.
    name: Box<str>,
    value_type: ColumnType,
}

/// What is known about one relation.
#[derive(Debug)]
struct Entry {
    oid: u32,
    /// Of the name that it was resolved with last.
    key: Option<TableKey>,
    catalog: Catalog,
    message: Received,
}

/// What the catalog says.
#[derive(Debug, Default)]
struct Catalog {
    /// Whether it was asked since the last message that made asking necessary.
    is_fresh: bool,
    /// The primary key as last heard, in its order. Kept when the relation is gone.
    primary_key: Option<KeyNames>,
    /// Likewise.
    unique_keys: Box<[UniqueKey]>,
}

/// What this connection sent.
#[derive(Debug)]
enum Received {
    Nothing,
    Excluded,
    Relation(Definition),
}

#[derive(Debug)]
struct Definition {
    /// The relation message, decoded once already.
    message: Box<[u8]>,
    forms: Box<[ValueForm]>,
    binary: Box<[BinaryForm]>,
    /// Whether the key is of its name, and its definition the one that counts for it.
    is_resolved: bool,
}

/// A relation whose rows can be rendered.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) key: TableKey,
    /// One for each column.
    pub(super) forms: &'a [ValueForm],
    /// The same, for values in binary form.
    pub(super) binary: &'a [BinaryForm],
}

/// What is to be done with a row.
#[derive(Debug)]
pub(super) enum Resolved {
    /// No message named its relation on this connection.
    Unknown,
    /// The filter excludes its table.
    Excluded,
    /// The catalog must be asked first.
    Ask,
    /// It can be rendered, with the definition that was resolved before.
    Known { index: usize },
    /// It can be rendered, with this definition; `is_news`: it is not the one told last.
    Anew {
        index: usize,
        table: Table,
        is_news: bool,
    },
}

impl Relations {
    pub(super) fn new(
        filter: TableFilter,
        columns: ColumnFilter,
        earlier_keys: EarlierKeys,
        relations_max: usize,
    ) -> Self {
        Self {
            filter,
            columns,
            relations_max,
            by_oid: HashMap::new(),
            list: Vec::new(),
            last: None,
            names: Names::default(),
            earlier_keys,
            messages: None,
            transactions: None,
            sent_types: HashMap::new(),
            catalog_types: HashMap::new(),
        }
    }

    /// Takes a relation message; `message` is the whole of it.
    pub(super) fn receive(
        &mut self,
        relation: &pgoutput::Relation<'_>,
        message: &[u8],
    ) -> Result<(), TooMany> {
        let (schema, name) = (relation.schema, relation.name);
        let received = if self.filter.matches(schema, name) {
            self.check_names(schema, name)?;
            Received::Relation(Definition {
                message: message.into(),
                forms: Box::default(),
                binary: Box::default(),
                is_resolved: false,
            })
        } else {
            Received::Excluded
        };
        let types_known =
            |c: pgoutput::RelationColumn<'_>| self.catalog_types.contains_key(&c.type_oid);
        let types_are_known = relation.columns().all(types_known);
        let entry = self.entry(relation.relation)?;
        // Sent again on the same connection: something about the table changed, perhaps its key.
        let is_first = matches!(entry.message, Received::Nothing);
        entry.catalog.is_fresh &=
            is_first && types_are_known && entry.catalog.agrees_with(relation);
        entry.message = received;
        Ok(())
    }

    /// Takes a type message: what is left of a type that the catalog no longer knows.
    pub(super) fn receive_type(&mut self, sent: &pgoutput::Type<'_>) {
        let form = text::form_of_name(sent.schema, sent.name);
        if form == ValueForm::default() {
            self.sent_types.remove(&sent.type_oid);
        } else if self.sent_types.len() < SENT_TYPES_MAX {
            self.sent_types.insert(sent.type_oid, form);
        }
    }

    /// Takes the catalog's answer; `None`: it knows no such relation.
    pub(super) fn set_catalog(
        &mut self,
        relation: u32,
        info: Option<&CatalogTable>,
    ) -> Result<(), TooMany> {
        if let Some(info) = info {
            self.learn_types(&info.columns);
        }
        let entry = self.entry(relation)?;
        entry.catalog.is_fresh = true;
        if let Some(info) = info {
            entry.catalog.primary_key = Some(key_names(&info.columns));
            entry.catalog.unique_keys = info.unique_keys.as_slice().into();
        }
        if let Received::Relation(definition) = &mut entry.message {
            definition.is_resolved = false;
        }
        Ok(())
    }

    /// Takes a table that the catalog shows. Returns its definition if the filter lets it through and none of that
    /// name was told before; where this connection sent a definition, that one counts and this one is ignored.
    pub(super) fn announce(
        &mut self,
        relation: u32,
        info: CatalogTable,
    ) -> Result<Option<Table>, TooMany> {
        let excluded = !self.filter.matches(&info.schema, &info.name);
        let entry = self.entry(relation)?;
        if excluded || !matches!(entry.message, Received::Nothing) {
            return Ok(None);
        }
        self.set_catalog(relation, Some(&info))?;
        self.check_names(&info.schema, &info.name)?;
        let key = self.names.key(&info.schema, &info.name);
        if self.names.is_told(key) {
            return Ok(None);
        }
        let mut table = info.into_table(key, relation);
        for column in &mut table.columns {
            column.excluded = self
                .columns
                .excludes(&table.schema, &table.name, &column.name);
        }
        self.names.is_news(&table);
        Ok(Some(table))
    }

    /// What logical messages go by; told once.
    pub(super) fn messages(&mut self) -> (TableKey, Option<Table>) {
        if let Some(key) = self.messages {
            return (key, None);
        }
        let key = self.names.unnamed();
        self.messages = Some(key);
        (key, Some(Table::of_messages(key)))
    }

    /// What the boundaries of transactions go by; told once.
    pub(super) fn transactions(&mut self) -> (TableKey, Option<Table>) {
        if let Some(key) = self.transactions {
            return (key, None);
        }
        let key = self.names.unnamed();
        self.transactions = Some(key);
        (key, Some(Table::of_transactions(key)))
    }

    /// What to do with a row of a relation.
    pub(super) fn resolve(&mut self, relation: u32) -> Resolved {
        let Some(index) = self.find(relation) else {
            return Resolved::Unknown;
        };
        let Some(entry) = self.list.get(index) else {
            return Resolved::Unknown;
        };
        match &entry.message {
            Received::Nothing => Resolved::Unknown,
            Received::Excluded => Resolved::Excluded,
            Received::Relation(_) if !entry.catalog.is_fresh => Resolved::Ask,
            Received::Relation(definition) if definition.is_resolved => Resolved::Known { index },
            Received::Relation(_) => self.resolve_anew(index),
        }
    }

    /// Whether a name may be given a key.
    fn check_names(&self, schema: &str, name: &str) -> Result<(), TooMany> {
        if self.names.len() >= self.relations_max && !self.names.knows(schema, name) {
            return Err(TooMany);
        }
        Ok(())
    }

    fn resolve_anew(&mut self, index: usize) -> Resolved {
        let key = self.take_name(index);
        let entry = self.list.get_mut(index).expect("found by the caller");
        entry.key = Some(key);
        let table = self.table(index);
        let entry = self.list.get_mut(index).expect("found by the caller");
        if let Received::Relation(definition) = &mut entry.message {
            definition.is_resolved = true;
            let forms = table.columns.iter().map(|column| column.value_type.form);
            definition.forms = forms.collect();
            definition.binary = table.columns.iter().map(BinaryForm::of).collect();
        }
        self.earlier_keys.note(&table);
        let is_news = self.names.is_news(&table);
        Resolved::Anew {
            index,
            table,
            is_news,
        }
    }

    /// The key of the relation's name. A relation that had that name before has to be resolved again if it still has rows.
    fn take_name(&mut self, index: usize) -> TableKey {
        let Self { list, names, .. } = self;
        let received = list.get(index).and_then(Entry::received);
        let relation = received.expect("the caller found a definition");
        let key = names.key(relation.schema, relation.name);
        let before = self.names.hold(key, index);
        let before = before.and_then(|before| self.list.get_mut(before));
        if let Some(Received::Relation(definition)) = before.map(|entry| &mut entry.message) {
            definition.is_resolved = false;
        }
        key
    }

    /// A resolved relation.
    pub(super) fn known(&self, index: usize) -> Known<'_> {
        let entry = self.list.get(index).expect("resolve gave the index");
        let Received::Relation(definition) = &entry.message else {
            unreachable!("resolve gave the index of a relation with a definition");
        };
        Known {
            key: entry.key.expect("resolve gave it a key"),
            forms: &definition.forms,
            binary: &definition.binary,
        }
    }

    /// The definition of a resolved relation.
    pub(super) fn table(&self, index: usize) -> Table {
        let entry = self.list.get(index).expect("resolve gave the index");
        let Some(relation) = entry.received() else {
            unreachable!("resolve gave the index of a relation with a definition");
        };
        let type_name = |oid| self.catalog_types.get(&oid).map_or("", |known| &known.name);
        let (schema, table) = (relation.schema, relation.name);
        let column = |column: pgoutput::RelationColumn<'_>| Column {
            name: column.name.to_owned(),
            type_oid: column.type_oid,
            type_name: type_name(column.type_oid).to_owned(),
            type_modifier: column.type_modifier,
            value_type: self.value_type(column.type_oid, column.type_modifier),
            excluded: self.columns.excludes(schema, table, column.name),
            identity: column.identity,
            key_position: None,
        };
        let mut columns: Vec<_> = relation.columns().map(column).collect();
        let catalog = entry.catalog.primary_key.as_deref();
        let earlier = self.earlier_keys.get(schema, table);
        let witnesses = catalog.into_iter().chain(earlier);
        mark_primary_key(relation.identity, witnesses, &mut columns);
        Table {
            key: entry.key.expect("resolve gave it a key"),
            relation: entry.oid,
            schema: relation.schema.to_owned(),
            name: relation.name.to_owned(),
            replica_identity: relation.identity,
            columns,
            unique_keys: entry.catalog.unique_keys.to_vec(),
        }
    }

    /// Whether [`Relations::resolve`] would ask for the relation.
    pub(super) fn wants_catalog(&self, relation: u32) -> bool {
        let entry = self.by_oid.get(&relation).and_then(|at| self.list.get(*at));
        entry.is_some_and(|entry| {
            matches!(entry.message, Received::Relation(_)) && !entry.catalog.is_fresh
        })
    }

    /// Whether the filter lets rows of the relation through, as far as this connection told.
    pub(super) fn is_captured(&self, relation: u32) -> bool {
        let entry = self.by_oid.get(&relation).and_then(|at| self.list.get(*at));
        entry.is_some_and(|entry| matches!(entry.message, Received::Relation(_)))
    }

    /// Schema and name, as this connection told them.
    pub(super) fn name(&self, relation: u32) -> Option<(String, String)> {
        let entry = self.by_oid.get(&relation).and_then(|at| self.list.get(*at));
        let relation = entry?.received()?;
        Some((relation.schema.to_owned(), relation.name.to_owned()))
    }

    /// The next connection announces every relation anew.
    pub(super) fn connection_lost(&mut self) {
        for entry in &mut self.list {
            entry.message = Received::Nothing;
            entry.catalog.is_fresh = false;
        }
        self.sent_types.clear();
    }

    /// How values of a type are read; `modifier` is the column's own.
    fn value_type(&self, type_oid: u32, modifier: i32) -> ColumnType {
        if let Some(form) = text::built_in(type_oid) {
            let mut value_type = ColumnType::of(form);
            value_type.modifier = modifier;
            value_type.base_oid = text::base_oid(type_oid);
            return value_type;
        }
        match (
            self.catalog_types.get(&type_oid),
            self.sent_types.get(&type_oid),
        ) {
            // A column of a domain has no modifier: it is the domain's.
            (Some(known), _) if modifier == -1 => known.value_type.clone(),
            (Some(known), _) => ColumnType {
                modifier,
                ..known.value_type.clone()
            },
            (None, sent) => ColumnType::of(sent.copied().unwrap_or_default()),
        }
    }

    fn learn_types(&mut self, columns: &[Column]) {
        for column in columns {
            let known = KnownType {
                name: column.type_name.as_str().into(),
                value_type: ColumnType {
                    // A column's own modifier is in the relation message; a column of a domain has none.
                    modifier: match column.type_modifier {
                        -1 => column.value_type.modifier,
                        _ => -1,
                    },
                    ..column.value_type.clone()
                },
            };
            if self.catalog_types.get(&column.type_oid) != Some(&known) {
                self.catalog_types.insert(column.type_oid, known);
            }
        }
    }

    fn find(&mut self, relation: u32) -> Option<usize> {
        match self.last {
            Some((oid, index)) if oid == relation => Some(index),
            Some(_) | None => {
                let index = *self.by_oid.get(&relation)?;
                self.last = Some((relation, index));
                Some(index)
            }
        }
    }

    fn entry(&mut self, oid: u32) -> Result<&mut Entry, TooMany> {
        let index = match self.find(oid) {
            Some(index) => index,
            None if self.list.len() >= self.relations_max => return Err(TooMany),
            None => {
                self.list.push(Entry::new(oid));
                self.by_oid.insert(oid, self.list.len() - 1);
                self.list.len() - 1
            }
        };
        Ok(self.list.get_mut(index).expect("found or pushed above"))
    }
}

impl Entry {
    fn new(oid: u32) -> Self {
        Self {
            oid,
            key: None,
            catalog: Catalog::default(),
            message: Received::Nothing,
        }
    }

    /// What this connection sent, unless the filter excludes it.
    fn received(&self) -> Option<pgoutput::Relation<'_>> {
        let Received::Relation(definition) = &self.message else {
            return None;
        };
        let Ok(Message::Relation(relation)) = pgoutput::decode(&definition.message) else {
            unreachable!("the message was decoded when it came");
        };
        Some(relation)
    }
}

impl Catalog {
    /// Whether it names the same key as a message that tells the key itself.
    fn agrees_with(&self, relation: &pgoutput::Relation<'_>) -> bool {
        let marked = relation.columns().filter(|column| column.identity);
        let mut marked: Vec<&str> = marked.map(|column| column.name).collect();
        let known = self.primary_key.iter().flatten();
        let mut known: Vec<&str> = known.map(|name| &**name).collect();
        marked.sort_unstable();
        known.sort_unstable();
        relation.identity == ReplicaIdentity::Default && marked == known
    }
}
