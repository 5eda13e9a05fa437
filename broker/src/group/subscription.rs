//! The topics that a consumer subscribes to, out of the metadata of its JoinGroup: bytes of the client's own protocol
//! (`ConsumerProtocolSubscription`), of which we read no more than this.
//!
//! | field | |
//! |---|---|
//! | version | i16, from 0 |
//! | topics | i32 count, then each an i16 length and bytes |
//! | the rest | user data, owned partitions, generation, rack: the assignors' business |

/// The topics' names, up to the first that is malformed. Allocates nothing.
pub(crate) fn topics(metadata: &[u8]) -> impl Iterator<Item = &str> {
    let (count, mut rest) = head(metadata).unwrap_or((0, &[]));
    (0..count).map_while(move |_| {
        let (name, behind) = name(rest)?;
        rest = behind;
        Some(name)
    })
}

/// Whether an assignment (`ConsumerProtocolAssignment`, which begins alike) has no topics. One that cannot be read may have
/// some.
pub(crate) fn assigns_nothing(assignment: &[u8]) -> bool {
    assignment.is_empty() || matches!(head(assignment), Some((0, _)))
}

fn head(metadata: &[u8]) -> Option<(u32, &[u8])> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, rest) = rest.split_first_chunk()?;
    let count = i32::from_be_bytes(*count);
    Some((u32::try_from(count).ok()?, rest))
}

fn name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
    let (name, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_in_order_whatever_follows_them() {
        let metadata = b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(topics(metadata).collect::<Vec<_>>(), ["a", "bc"]);
    }

    #[test]
    fn an_assignment_without_topics_is_known_whatever_follows_and_no_other() {
        for nothing in [&b""[..], b"\0\0\0\0\0\0", b"\0\x03\0\0\0\0\xff\xff\xff\xff"] {
            assert!(assigns_nothing(nothing), "{nothing:?}");
        }
        for something in [
            &b"\0"[..],
            b"\0\0\0\0\0\x01\0\x01a",
            b"\0\0\xff\xff\xff\xff",
        ] {
            assert!(!assigns_nothing(something), "{something:?}");
        }
    }

    #[test]
    fn hostile_metadata_gives_what_can_be_read_and_never_more() {
        for (metadata, expected) in [
            (&b""[..], 0),
            (b"\0", 0),
            (b"\0\0\x7f\xff\xff\xff", 0),
            (b"\0\0\xff\xff\xff\xff\0\x01a", 0),
            (b"\0\0\x7f\xff\xff\xff\0\x01a\0\x05b", 1),
            (b"\0\0\0\0\0\x01\xff\xff", 0),
            (b"\0\0\0\0\0\x01\0\x01\xff", 0),
        ] {
            assert_eq!(topics(metadata).count(), expected, "{metadata:?}");
        }
    }
}
