//! Power cuts of the modelled disk: what becomes of each thing that was not synced.

use std::{fmt, ops::Range};

/// Smallest piece that a disk writes whole, bytes.
pub const SECTOR_BYTES: u64 = 512;

/// A thing that a power cut may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsynced {
    /// These names changed together (a rename changes two); all or none of it stays.
    Names(Vec<String>),
    /// A write.
    Write {
        /// The file.
        name: String,
        /// Its bytes.
        range: Range<u64>,
    },
}

/// What the power cut does to one [`Unsynced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As if it never happened.
    Lost,
    /// As if it had been synced.
    Kept,
    /// The file is as long as if it was kept, but its new part is zeros. (Names are kept.)
    Zeros,
    /// The first bytes only. (Names are kept.)
    First(u64),
    /// The last bytes only. (Names are kept.)
    Last(u64),
    /// Each sector, [`SECTOR_BYTES`] long by its place in the file, lost or kept by this seed. (Names are kept.)
    Sectors(u64),
}

/// How a power cut decides.
pub enum PowerCut<'a> {
    /// Nothing unsynced stays.
    LoseAll,
    /// Everything stays.
    KeepAll,
    /// Each by chance, the same for the same seed. One seed in eight keeps all names, one in eight loses all.
    Seeded(u64),
    /// Each as the function says: first names in the order they changed, then the writes of each file, files in
    /// the order of their names, writes in the order they happened.
    Plan(&'a mut dyn FnMut(&Unsynced) -> Fate),
}

impl fmt::Debug for PowerCut<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoseAll => formatter.write_str("LoseAll"),
            Self::KeepAll => formatter.write_str("KeepAll"),
            Self::Seeded(seed) => write!(formatter, "Seeded({seed})"),
            Self::Plan(_) => formatter.write_str("Plan"),
        }
    }
}

type Chooser<'a> = Box<dyn FnMut(&Unsynced) -> Fate + 'a>;

impl<'a> PowerCut<'a> {
    pub(super) fn chooser(self) -> Chooser<'a> {
        match self {
            Self::LoseAll => Box::new(|_| Fate::Lost),
            Self::KeepAll => Box::new(|_| Fate::Kept),
            Self::Seeded(seed) => seeded(seed),
            Self::Plan(plan) => Box::new(plan),
        }
    }
}

fn seeded(seed: u64) -> Chooser<'static> {
    let mut random = Random(seed);
    let names = random.below(8);
    Box::new(move |unsynced| match unsynced {
        Unsynced::Names(_) => match names {
            0 => Fate::Lost,
            1 => Fate::Kept,
            _ if random.below(2) == 0 => Fate::Lost,
            _ => Fate::Kept,
        },
        Unsynced::Write { range, .. } => write_fate(&mut random, range.end - range.start),
    })
}

fn write_fate(random: &mut Random, bytes: u64) -> Fate {
    match random.below(7) {
        0 | 1 => Fate::Lost,
        2 | 3 => Fate::Kept,
        4 if random.below(2) == 0 => Fate::First(random.below(bytes + 1)),
        4 => Fate::Last(random.below(bytes + 1)),
        5 => Fate::Zeros,
        _ => Fate::Sectors(random.next()),
    }
}

/// Steele's splitmix64: small, and good enough to choose by.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `bound` - 1; 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}

/// The parts of `range` (bytes of a file) that `fate` keeps, in order.
pub(super) fn kept(range: &Range<u64>, fate: Fate) -> Vec<Range<u64>> {
    let bytes = range.end - range.start;
    let part = match fate {
        Fate::Lost | Fate::Zeros => return Vec::new(),
        Fate::Sectors(seed) => return sectors(range, seed),
        Fate::Kept => range.clone(),
        Fate::First(count) => range.start..range.start + count.min(bytes),
        Fate::Last(count) => range.end - count.min(bytes)..range.end,
    };
    Vec::from([part])
}

fn sectors(range: &Range<u64>, seed: u64) -> Vec<Range<u64>> {
    let mut random = Random(seed);
    let mut parts = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let end = (start / SECTOR_BYTES + 1)
            .saturating_mul(SECTOR_BYTES)
            .min(range.end);
        if random.below(2) == 0 {
            parts.push(start..end);
        }
        start = end;
    }
    parts
}
