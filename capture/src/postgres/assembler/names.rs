//! The names that relations have had. A table is what it is called: its topic is found by schema and name, so its
//! [`TableKey`] is given by name too, never by relation.
//!
//! | happens to | the key |
//! |---|---|
//! | a table renamed, or moved to another schema | another one, or the one that the new name had before |
//! | a table dropped and made anew | the same: its records go on behind those of the old one |
//! | two tables that change names with each other | each takes the other's |
//!
//! All of it may happen inside one group of transactions, whose definitions the log learns before its records: with a key
//! by relation, records from before a renaming would go to the topic of the new name, and two relations of one name would
//! have two batches for one topic, in no certain order.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::table::{Table, TableKey};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Schema and name, with NUL between them, which no name has.
    by_name: HashMap<Box<str>, TableKey>,
    /// By key.
    list: Vec<Named>,
}

/// What is known about a name.
#[derive(Debug, Default)]
struct Named {
    /// Index of the relation whose definition counts.
    holder: Option<usize>,
    /// Hash of the definition that was told last. Keeping all of it would double what a relation costs.
    told: Option<u64>,
}

impl Names {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn knows(&self, schema: &str, name: &str) -> bool {
        self.by_name.contains_key(&*joined(schema, name))
    }

    /// The key of a name, given now if it has none.
    pub(super) fn key(&mut self, schema: &str, name: &str) -> TableKey {
        let joined = joined(schema, name);
        if let Some(key) = self.by_name.get(&*joined) {
            return *key;
        }
        let key = self.unnamed();
        self.by_name.insert(joined, key);
        key
    }

    /// A key for what is no table.
    pub(super) fn unnamed(&mut self) -> TableKey {
        let key = u32::try_from(self.list.len()).expect("names are bounded");
        self.list.push(Named::default());
        TableKey(key)
    }

    /// From here on the definition of the relation with this index counts. Gives the one whose definition counted
    /// before, if that is another.
    pub(super) fn hold(&mut self, key: TableKey, index: usize) -> Option<usize> {
        let before = self.named(key).holder.replace(index);
        before.filter(|before| *before != index)
    }

    /// Whether any definition was told.
    pub(super) fn is_told(&self, key: TableKey) -> bool {
        let named = self.list.get(index_of(key));
        named.is_some_and(|named| named.told.is_some())
    }

    /// Whether the definition is another one than that told last; remembers it as told.
    pub(super) fn is_news(&mut self, table: &Table) -> bool {
        let mut hasher = DefaultHasher::new();
        table.hash(&mut hasher);
        let hash = Some(hasher.finish());
        std::mem::replace(&mut self.named(table.key).told, hash) != hash
    }

    fn named(&mut self, key: TableKey) -> &mut Named {
        self.list.get_mut(index_of(key)).expect("given by this")
    }
}

/// What a name is looked up by.
pub(super) fn joined(schema: &str, name: &str) -> Box<str> {
    [schema, name].join("\0").into()
}

fn index_of(key: TableKey) -> usize {
    usize::try_from(key.0).expect("usize has at least 32 bits here")
}
