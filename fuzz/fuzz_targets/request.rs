//! Shape check and decode of one request frame (its length field removed): no panic, and no more
//! memory than `limits::decoded_bytes_max` of its size. The heap ends where no frame may go.

#![no_main]

use std::alloc::System;

use bytes::Bytes;
use cap::Cap;
use headwater_protocol::{
    limits::decoded_bytes_max,
    request::{CloseReason, DecodeError, decode},
};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, 256 << 20);

/// The text of an error.
const ERROR_BYTES_MAX: usize = 4 * 1024;

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    let before = HEAP.total_allocated();
    let decoded = decode(frame);
    let taken = HEAP.total_allocated() - before;
    let allowed = decoded_bytes_max(data.len()) + ERROR_BYTES_MAX;
    assert!(taken <= allowed, "taken={taken} allowed={allowed} size={}", data.len());
    // What passed the shape check fails to decode for one reason only: text that is not UTF-8.
    if let Err(DecodeError::Close { reason: reason @ CloseReason::Undecodable { .. } }) = decoded {
        assert!(!data.is_ascii(), "the shape check accepts what the decoder refuses: {reason}");
    }
});
