//! The frame decoder: however a stream is cut, the frames are the same, and what is held is what has
//! arrived. The first byte says how large the pieces are.

#![no_main]

use std::alloc::System;

use bytes::Bytes;
use cap::Cap;
use headwater_protocol::frame::{FrameDecoder, FrameError};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, 1 << 30);

/// Announced lengths up to here are accepted: far more than the fuzzer ever sends.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A frame of no bytes takes 4 in the stream and 32 in each of the two lists, which grow by doubling.
/// An announced length that were allocated would be seen all the same.
const HEAP_PER_BYTE: usize = 64;
const HEAP_BASE: usize = 16 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((&piece, stream)) = data.split_first() else { return };
    let before = HEAP.allocated();
    let whole = frames(stream, stream.len().max(1));
    let cut = frames(stream, usize::from(piece) + 1);
    let held = HEAP.allocated() - before;
    assert!(held <= HEAP_BASE + HEAP_PER_BYTE * data.len(), "held={held} size={}", data.len());
    assert_eq!(whole, cut);
});

/// The frames of a stream that arrives in pieces, and the error that ended it.
fn frames(stream: &[u8], piece: usize) -> (Vec<Bytes>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let mut frames = Vec::new();
    for bytes in stream.chunks(piece) {
        decoder.push(bytes);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
