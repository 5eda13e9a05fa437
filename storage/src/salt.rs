//! Salts of journal files (`docs/format.md`, "Frame header").

/// A random number that nobody outside can know.
pub(crate) fn new_salt() -> u32 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    // The version and variant bits are not random; the low half of each word is.
    let bytes = (high.rotate_left(32) ^ low).to_be_bytes();
    let [_, _, _, _, a, b, c, d] = bytes;
    u32::from_be_bytes([a, b, c, d])
}
