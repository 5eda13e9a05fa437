//! Free TCP ports.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range that Linux gives to outgoing connections, so that none of them takes a port between the
/// look and its use.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port of 127.0.0.1 that nobody listens on now and that this process has not given out lately. Processes
/// that look at the same time start at different places.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(process::id() % 200).expect("below 200") * 100;
    (0..COUNT)
        .map(|_| FIRST + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("twenty thousand ports are not all in use")
}
