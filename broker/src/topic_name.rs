//! From a table's true name to its topic's name. Pure; the rule is final (users' hands).
//!
//! `<prefix>.<schema>.<table>`, where characters outside `[A-Za-z0-9._-]` become `_`. A name over 249 bytes, or
//! one that another table already has, ends in `_` and 8 hex digits of the true name's hash instead: FNV-1a, 32
//! bits, over `prefix NUL schema NUL table` (NUL cannot stand in an identifier, so `a.b`/`c` and `a`/`b.c`
//! differ). What belongs to no table has no schema: logical messages go to `<prefix>.message`.

use std::collections::HashSet;

use headwater_capture::encode::cleaned_name;

use crate::limits::TOPIC_NAME_BYTES;

/// The name and, if it is not simply the cleaned true name, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicName {
    /// At most 249 bytes of `[A-Za-z0-9._-]`.
    pub name: String,
    /// Why a hash was appended; to be told once, when the topic comes into being.
    pub altered: Option<Altered>,
}

/// Why a topic is not called what its table is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Altered {
    /// The cleaned name is over 249 bytes.
    TooLong,
    /// Another table's topic has the cleaned name.
    Taken,
}

/// The topic of `schema.table` under `prefix`, given the names that are taken by others.
#[must_use]
pub fn topic_name(prefix: &str, schema: &str, table: &str, taken: &HashSet<String>) -> TopicName {
    let plain = cleaned_name(&if schema.is_empty() {
        format!("{prefix}.{table}")
    } else {
        format!("{prefix}.{schema}.{table}")
    });
    if plain.len() > TOPIC_NAME_BYTES {
        let name = hashed(&plain, &[prefix, schema, table], taken);
        return TopicName {
            name,
            altered: Some(Altered::TooLong),
        };
    }
    if taken.contains(&plain) {
        let name = hashed(&plain, &[prefix, schema, table], taken);
        return TopicName {
            name,
            altered: Some(Altered::Taken),
        };
    }
    TopicName {
        name: plain,
        altered: None,
    }
}

/// `plain`, cut so that `_` and 8 hex digits fit. If even that is taken (two names with one hash), the hash is
/// taken again over its own digits until it is free.
fn hashed(plain: &str, parts: &[&str], taken: &HashSet<String>) -> String {
    // ASCII only, so any byte is a character boundary.
    let stem = &plain[..plain.len().min(TOPIC_NAME_BYTES - 9)];
    let mut hash = fnv1a(parts.join("\0").as_bytes());
    loop {
        let name = format!("{stem}_{hash:08x}");
        if !taken.contains(&name) {
            return name;
        }
        hash = fnv1a(format!("{hash:08x}").as_bytes()).wrapping_add(1);
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> HashSet<String> {
        HashSet::new()
    }

    #[test]
    fn names_are_cleaned_by_the_table() {
        for (schema, table, expected) in [
            ("public", "orders", "shop.public.orders"),
            ("public", "Order Lines", "shop.public.Order_Lines"),
            ("a.b", "c-d_e", "shop.a.b.c-d_e"),
            ("public", "größe", "shop.public.gr__e"),
            ("public", "注文", "shop.public.__"),
            ("public", "", "shop.public."),
            ("public", "a/b\\c\u{7}", "shop.public.a_b_c_"),
        ] {
            let made = topic_name("shop", schema, table, &free());
            assert_eq!(
                made,
                TopicName {
                    name: expected.to_owned(),
                    altered: None
                }
            );
        }
    }

    #[test]
    fn the_hash_of_a_true_name_never_changes() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn a_second_table_with_the_same_cleaned_name_gets_a_hash() {
        let taken: HashSet<String> = ["shop.a.b.c".to_owned()].into();
        let made = topic_name("shop", "a", "b.c", &taken);
        assert_eq!(made.altered, Some(Altered::Taken));
        assert!(made.name.starts_with("shop.a.b.c_"));
        assert_eq!(made.name.len(), "shop.a.b.c".len() + 9);
        assert_ne!(made.name, topic_name("shop", "a.b", "c", &taken).name);
        assert_eq!(
            made,
            topic_name("shop", "a", "b.c", &taken),
            "the same every time"
        );
    }

    #[test]
    fn names_of_249_bytes_stay_and_longer_ones_are_cut_and_hashed() {
        let fits = "t".repeat(TOPIC_NAME_BYTES - "shop.public.".len());
        assert_eq!(topic_name("shop", "public", &fits, &free()).altered, None);
        let made = topic_name("shop", "public", &format!("{fits}t"), &free());
        assert_eq!(made.altered, Some(Altered::TooLong));
        assert_eq!(made.name.len(), TOPIC_NAME_BYTES);
        assert_ne!(
            made.name,
            topic_name("shop", "public", &format!("{fits}u"), &free()).name
        );
    }

    #[test]
    fn a_taken_hash_gives_way_to_another() {
        let mut taken: HashSet<String> = ["shop.a.b".to_owned()].into();
        let first = topic_name("shop", "a", "b", &taken).name;
        taken.insert(first.clone());
        let second = topic_name("shop", "a", "b", &taken).name;
        assert_ne!(first, second);
        assert_eq!(second.len(), first.len());
    }
}
