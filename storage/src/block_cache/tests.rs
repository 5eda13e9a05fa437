use std::{
    convert::Infallible,
    sync::{Barrier, atomic::AtomicUsize},
    thread,
};

use super::*;

const BLOCK: usize = 64 * 1024;

fn key(position: u64) -> PieceKey {
    PieceKey {
        log: 0,
        file: 1,
        position,
    }
}

fn block(bytes: usize) -> Piece {
    Piece::Block(Block {
        bytes: Bytes::from(vec![0; bytes]),
        base_offset: 0,
        batches: Vec::new(),
    })
}

fn get(cache: &BlockCache, position: u64) -> Arc<Piece> {
    let loaded = cache.get(key(position), |_| Ok::<_, Infallible>(block(BLOCK)));
    loaded.expect("loads")
}

/// Whether the piece was there already.
fn is_cached(cache: &BlockCache, position: u64) -> bool {
    let misses = cache.stats().misses;
    drop(get(cache, position));
    cache.stats().misses == misses
}

#[test]
fn twenty_readers_load_a_block_once() {
    let cache = BlockCache::default();
    let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(20));
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                barrier.wait();
                for position in 0..10 {
                    let piece = cache.get(key(position), |_| {
                        loads.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(std::time::Duration::from_millis(2));
                        Ok::<_, Infallible>(block(BLOCK))
                    });
                    drop(piece);
                }
            });
        }
    });
    assert_eq!(loads.into_inner(), 10);
    assert_eq!(cache.stats().hits, 190);
}

#[test]
fn a_load_that_fails_or_panics_leaves_the_next_one_to_try_again() {
    let cache = Arc::new(BlockCache::default());
    let failed = cache.get(key(1), |_| Err::<Piece, _>("no"));
    assert_eq!(failed.map(drop), Err("no"));
    let other = Arc::clone(&cache);
    let panicked = thread::spawn(move || {
        let loaded = other.get(key(1), |_| -> Result<Piece, Infallible> {
            unreachable!("the loader panics")
        });
        drop(loaded);
    });
    assert!(panicked.join().is_err());
    drop(get(&cache, 1));
    assert!(is_cached(&cache, 1));
}

#[test]
fn a_reader_far_behind_takes_nothing_away_from_those_who_share() {
    let cache = BlockCache::new(64 * BLOCK);
    for position in 0..20 {
        for _ in 0..2 {
            drop(get(&cache, position));
            cache.was_read(key(position), 0..BLOCK);
        }
    }
    // Ten times the cache, in two bites a block, as fetches come.
    for position in 1000..1640 {
        drop(get(&cache, position));
        cache.was_read(key(position), 0..BLOCK / 2);
        drop(get(&cache, position));
        cache.was_read(key(position), BLOCK / 2..BLOCK);
    }
    assert!((0..20).all(|position| is_cached(&cache, position)));
    assert!(cache.stats().bytes <= 64 * BLOCK as u64);
}

#[test]
fn of_what_is_shared_the_longest_unread_goes_first() {
    let cache = BlockCache::new(16 * BLOCK);
    for position in 0..14 {
        for _ in 0..2 {
            drop(get(&cache, position));
            cache.was_read(key(position), 0..BLOCK);
        }
    }
    assert!(cache.stats().bytes <= 16 * BLOCK as u64);
    for position in 100..110 {
        drop(get(&cache, position));
    }
    assert!(!is_cached(&cache, 0));
    assert!(is_cached(&cache, 13));
}

#[test]
fn a_piece_larger_than_its_part_is_given_and_not_kept() {
    let cache = BlockCache::new(16 * BLOCK);
    for _ in 0..2 {
        drop(get(&cache, 1));
        cache.was_read(key(1), 0..BLOCK);
    }
    let large = cache.get(key(2), |_| Ok::<_, Infallible>(block(5 * BLOCK)));
    drop(large.expect("loads"));
    assert!(!is_cached(&cache, 2));
    assert!(is_cached(&cache, 1));
}

#[test]
fn pieces_of_files_that_are_gone_are_forgotten() {
    let cache = BlockCache::default();
    drop(get(&cache, 1));
    cache.forget(0, |file| file > 1);
    assert_eq!(cache.stats().bytes, 0);
    assert!(!is_cached(&cache, 1));
}
