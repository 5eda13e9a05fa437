//! Frames that strangers might send, under an allocator that counts: no frame may take more memory
//! than `limits::decoded_bytes_max` of its size, and none may panic.
//!
//! An allocation beyond `HEAP_MAX` aborts the process, as it would abort the broker. The random test
//! says its seed first; `HEADWATER_SEED` runs another.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "../wire/samples.rs"]
mod samples;

use std::{
    alloc::System,
    io::Write,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{BufMut, Bytes};
use cap::Cap;
use headwater_protocol::{
    api::Api,
    frame::FrameDecoder,
    limits::{REQUEST_BYTES_MAX, decoded_bytes_max},
    request::decode,
};
use samples::{decoded_versions, frame, header, sample};

/// Far above what any test here needs, far below what a hostile count asks for.
const HEAP_MAX: usize = 256 << 20;

/// Error values, and what the test harness allocates meanwhile on its own thread.
const SLACK: usize = 16 * 1024;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, HEAP_MAX);

/// The allocator counts for the whole process, so tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decodes and checks what that allocated in sum; tells whether it was accepted.
fn decode_counted(bytes: &[u8], context: &dyn Fn() -> String) -> bool {
    let frame = Bytes::copy_from_slice(bytes);
    let before = HEAP.total_allocated();
    let decoded = decode(frame);
    let taken = HEAP.total_allocated() - before;
    let allowed = decoded_bytes_max(bytes.len()) + SLACK;
    assert!(
        taken <= allowed,
        "{}: allocated={taken} allowed={allowed} {bytes:?}",
        context()
    );
    decoded.is_ok()
}

#[test]
fn no_overwritten_length_makes_any_request_of_any_version_allocate_beyond_its_frame() {
    let _alone = alone();
    let lengths: [&[u8]; 12] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0x80, 0, 0, 0],
        &[0x00, 0xff, 0xff, 0xff],
        &[0x00, 0x01, 0x00, 0x00],
        &[0x7f, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xff, 0xff, 0x03],
        &[0x00],
        &[0xff],
    ];
    for (api, version) in decoded_versions() {
        let whole = frame(api, version, &sample(api, version));
        for at in 4..whole.len() {
            for length in lengths {
                let mut mutated = whole.clone();
                mutated.splice(
                    at..whole.len().min(at + length.len()),
                    length.iter().copied(),
                );
                decode_counted(&mutated, &|| format!("{api:?} {version} at {at}"));
            }
        }
    }
}

#[test]
fn random_mutations_of_every_request_neither_panic_nor_allocate_beyond_their_frame() {
    let _alone = alone();
    let seed = std::env::var("HEADWATER_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut random = Random(seed.unwrap_or(0x9e37_79b9_7f4a_7c15));
    // Past the harness, which would keep it to itself if the process aborts.
    writeln!(std::io::stderr(), "HEADWATER_SEED={}", random.0).unwrap();
    let (mut accepted, mut refused) = (0_u32, 0_u32);
    for (api, version) in decoded_versions() {
        let whole = frame(api, version, &sample(api, version));
        for round in 0..1_000 {
            let mutated = mutate(&whole, &mut random);
            if decode_counted(&mutated, &|| format!("{api:?} {version} round {round}")) {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(
        accepted > 1_000 && refused > 1_000,
        "accepted={accepted} refused={refused}"
    );
}

/// One to four changes: bytes set, removed, doubled, or the end cut. The API and version stay.
fn mutate(whole: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=random.below(4) {
        let at = 4 + random.below(bytes.len() - 4);
        let end = bytes.len().min(at + 1 + random.below(8));
        match random.below(6) {
            0 => bytes[at] = random.byte(),
            1 => bytes[at..end].fill(random.byte()),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            4 => bytes[at] ^= 1 << random.below(8),
            _ => bytes.truncate(at.max(9)),
        }
        if bytes.len() < 9 {
            break;
        }
    }
    bytes
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let _alone = alone();
    let stream = [&(1_i32 << 20).to_be_bytes()[..], &[7; 1 << 20]].concat();
    let before = HEAP.allocated();
    let mut decoder = FrameDecoder::new(REQUEST_BYTES_MAX);
    decoder.push(&stream);
    drop(decoder.next().unwrap().expect("the frame is whole"));
    let held = HEAP.allocated() - before;
    assert!(held < SLACK, "held={held}");
}

#[test]
fn connections_that_announce_much_and_send_little_hold_little() {
    let _alone = alone();
    let before = HEAP.allocated();
    let announced = i32::try_from(REQUEST_BYTES_MAX).unwrap().to_be_bytes();
    let mut decoders: Vec<_> = (0..1_000)
        .map(|_| FrameDecoder::new(REQUEST_BYTES_MAX))
        .collect();
    for decoder in &mut decoders {
        decoder.push(&announced);
        decoder.push(&[0; 60]);
        assert_eq!(decoder.next(), Ok(None));
    }
    let held = HEAP.allocated() - before;
    assert!(held < 1_000 * 1024, "held={held}");
}

#[test]
fn the_largest_accepted_frames_stay_within_their_memory() {
    let _alone = alone();
    // The elements of the last would take 36 times the frame.
    let frames = [
        (60_000_u32, 12, true),
        (100_000, 6, true),
        (2_000, 3, true),
        (900, 0, true),
        (400_000, 0, false),
    ];
    for (count, name_size, fits) in frames {
        let mut frame = header(Api::Metadata, 1);
        frame.put_u32(count);
        for _ in 0..count {
            frame.put_u16(name_size);
            frame.put_bytes(b'n', name_size.into());
        }
        assert!(frame.len() <= REQUEST_BYTES_MAX);
        let accepted = decode_counted(&frame, &|| format!("{count} names of {name_size}"));
        assert_eq!(accepted, fits, "{count} names of {name_size}");
    }
}

#[test]
fn unknown_tagged_fields_stay_within_the_memory_they_are_charged() {
    let _alone = alone();
    let mut accepted = 0;
    for count in [1_u32, 100, 127, 140, 200, 10_000] {
        let mut frame = header(Api::ApiVersions, 4);
        frame.extend_from_slice(&[2, b'n', 2, b'v']);
        put_unsigned_varint(&mut frame, count);
        // Descending tags, so that the decoder's map is filled from its wrong end.
        for tag in (0..count).rev() {
            put_unsigned_varint(&mut frame, tag);
            frame.put_u8(0);
        }
        accepted += u32::from(decode_counted(&frame, &|| format!("{count} tagged fields")));
    }
    assert_eq!(accepted, 3);
    // One tagged field in each of many elements: a map of its own each.
    let mut frame = header(Api::Metadata, 9);
    put_unsigned_varint(&mut frame, 101);
    for _ in 0..100 {
        frame.extend_from_slice(&[2, b't', 1, 5, 0]);
    }
    frame.extend_from_slice(&[1, 1, 1, 0]);
    assert!(decode_counted(&frame, &|| "a tagged field in each topic".to_owned()));
}

fn put_unsigned_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.put_u8(u8::try_from(value).unwrap());
}
