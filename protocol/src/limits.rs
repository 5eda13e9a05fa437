//! What one client connection may make the decoder hold, in one place.

/// Largest request frame, in bytes without its length field, before a connection has authenticated:
/// room for ApiVersions and any SASL token, and little for a stranger to fill.
pub const REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION: usize = 64 * 1024;

/// Largest request frame, in bytes without its length field, of an authenticated connection (or of
/// a listener without authentication).
///
/// A Fetch that names 10,000 topics of 40 characters takes 750 KB. Only Produce would need more, and
/// it is refused; Kafka's own limit is 100 MiB (`socket.request.max.bytes`).
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// A decoded request may take this many bytes of memory for each byte of its frame, and
/// [`DECODED_BYTES_BASE`] besides.
///
/// The largest ratio of a request in real use is that of Metadata with short topic names: 72 bytes
/// in memory for a name of 6 characters that takes 8 in the frame.
pub const DECODED_BYTES_PER_FRAME_BYTE: usize = 10;

/// What a decoded request may take whatever the size of its frame, in bytes.
pub const DECODED_BYTES_BASE: usize = 64 * 1024;

/// Longest string of a request, in bytes: Kafka refuses longer ones in every version, although the
/// compact form could carry them.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Memory that decoding a frame of `frame_size` bytes may take, in bytes.
pub const fn decoded_bytes_max(frame_size: usize) -> usize {
    DECODED_BYTES_BASE.saturating_add(DECODED_BYTES_PER_FRAME_BYTE.saturating_mul(frame_size))
}
