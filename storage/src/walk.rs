//! Walking the frames of one file, header by header.
//!
//! Used by the start and by readers. Trusts nothing: a header must be of this file ([`Identity`]) and its frame
//! must fit. Where none stands, the next one is looked for at each multiple of 8. Bodies are read or checked on
//! request only.

use std::io;

use crate::{
    disk::SegmentFile,
    frame::{ALIGNMENT, FrameError, FrameHeader, HEADER_BYTES, HEADER_LENGTH, MAGIC},
};

/// What makes a frame one of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) number: u64,
    /// `None` until the first frame is seen, which then gives it.
    pub(crate) salt: Option<u32>,
}

impl Identity {
    /// Whether the bytes of a header that cannot be read have this file's number and salt, where every version has them.
    /// Nobody outside knows a salt, so a stored row cannot have it; where the salt is not known, only the place of the
    /// first frame is trusted.
    fn may_be(&self, header: &[u8], is_first: bool) -> bool {
        let number = header.get(16..24) == Some(&self.number.to_be_bytes()[..]);
        let is_salt = |salt: u32| header.get(56..60) == Some(&salt.to_be_bytes()[..]);
        number && self.salt.map_or(is_first, is_salt)
    }

    pub(crate) fn fits(&self, header: &FrameHeader) -> bool {
        header.file == self.number && self.salt.is_none_or(|salt| salt == header.salt)
    }
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A frame. Its body is not checked.
    Frame { position: u64, header: FrameHeader },
    /// No frame starts here; the next one starts at `to`.
    Gap { from: u64, to: u64 },
    /// No frame of this file comes any more.
    End {
        position: u64,
        /// Something else than zeros follows.
        dirty: bool,
    },
}

/// Why a walk cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A newer version wrote this file.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// A walk over `file` from a position up to `end`.
#[derive(Debug)]
pub(crate) struct Walker<'f> {
    file: &'f dyn SegmentFile,
    identity: Identity,
    position: u64,
    end: u64,
    window: Window,
}

impl<'f> Walker<'f> {
    /// `window_bytes`: how much is read at once.
    pub(crate) fn new(
        file: &'f dyn SegmentFile,
        identity: Identity,
        from: u64,
        end: u64,
        window_bytes: usize,
    ) -> Self {
        Self {
            file,
            identity,
            position: from,
            end,
            window: Window::new(window_bytes, end.saturating_sub(from)),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Where the next frame is looked for.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Tells the disk that `bytes` from `position` on will be wanted.
    pub(crate) fn announce(&self, position: u64, bytes: u64) {
        let bytes = bytes.min(self.end.saturating_sub(position));
        self.file.will_need(position, bytes);
    }

    /// Goes on at `position`, where a frame starts. `bytes`: how much of the file from there on is probably wanted.
    pub(crate) fn jump(&mut self, position: u64, bytes: usize) {
        self.position = position;
        self.window.read_once(bytes);
    }

    /// The next frame, gap, or the end; after the end, the end again.
    pub(crate) fn step(&mut self) -> Result<Step, WalkError> {
        let position = self.position;
        if let Some(header) = self.header_at(position)? {
            self.identity.salt = Some(header.salt);
            self.position = position + header.frame_bytes();
            return Ok(Step::Frame { position, header });
        }
        let (next, dirty) = self.search(position)?;
        match next {
            Some(to) => {
                self.position = to;
                Ok(Step::Gap { from: position, to })
            }
            None => Ok(Step::End { position, dirty }),
        }
    }

    /// The body of the frame at `position`.
    pub(crate) fn body(&mut self, position: u64, header: &FrameHeader) -> io::Result<Vec<u8>> {
        self.body_start(position, header.length as usize)
    }

    /// The first `length` bytes of the body of the frame at `position`: bounded by the file, since the frame was seen to
    /// fit.
    pub(crate) fn body_start(&mut self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        let at = position + HEADER_LENGTH;
        if length <= self.window.capacity {
            let bytes = self.window.get(self.file, at, length)?;
            return Ok(bytes.get(..length).unwrap_or(bytes).to_vec());
        }
        let mut body = vec![0; length];
        let count = read_full(self.file, at, &mut body)?;
        body.truncate(count);
        Ok(body)
    }

    /// Reads the body of the frame at `position` into `buffer`; fewer bytes only at the file's end.
    pub(crate) fn read_body(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_full(self.file, position + HEADER_LENGTH, buffer)
    }

    /// Whether the body of the frame at `position` is whole.
    pub(crate) fn body_is_whole(
        &mut self,
        position: u64,
        header: &FrameHeader,
    ) -> io::Result<bool> {
        let mut check = header.body_check();
        let mut at = position + HEADER_LENGTH;
        let end = at + u64::from(header.length);
        while at < end {
            let bytes = self.window.get(self.file, at, 1)?;
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
            let piece = bytes.get(..wanted).unwrap_or(bytes);
            if piece.is_empty() {
                return Ok(false);
            }
            check.update(piece);
            at += piece.len() as u64;
        }
        Ok(check.passes())
    }

    fn header_at(&mut self, position: u64) -> Result<Option<FrameHeader>, WalkError> {
        if position.saturating_add(HEADER_LENGTH) > self.end {
            return Ok(None);
        }
        let bytes = self.window.get(self.file, position, HEADER_BYTES)?;
        match FrameHeader::parse(bytes) {
            Ok(header) if self.identity.fits(&header) => {
                let fits = position.saturating_add(header.frame_bytes()) <= self.end;
                Ok(fits.then_some(header))
            }
            // Somebody may have stored a row that looks like a newer version's frame.
            Err(newer @ FrameError::Newer(_)) if self.identity.may_be(bytes, position == 0) => {
                Err(newer.into())
            }
            Ok(_) | Err(FrameError::Malformed | FrameError::Newer(_)) => Ok(None),
        }
    }

    /// The first place behind `from` where a frame of this file starts, and whether there is anything but zeros
    /// from `from` up to there.
    fn search(&mut self, from: u64) -> Result<(Option<u64>, bool), WalkError> {
        let mut dirty = false;
        let mut at = from;
        while at < self.end {
            let bytes = self.window.get(self.file, at, 1)?;
            let wanted = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            let bytes = bytes.get(..wanted).unwrap_or(bytes);
            if bytes.is_empty() {
                break;
            }
            let zeros = if dirty { 0 } else { leading_zeros(bytes) };
            if zeros == bytes.len() {
                at += zeros as u64;
                continue;
            }
            dirty = true;
            let skip = to_magic(bytes);
            at += skip as u64;
            if skip == bytes.len() {
                continue;
            }
            if at > from && self.header_at(at)?.is_some() {
                return Ok((Some(at), true));
            }
            at += ALIGNMENT;
        }
        Ok((None, dirty))
    }
}

/// The frame at `position` of `file`, if one of this file stands there whole before `end`.
pub(crate) fn body_at(
    file: &dyn SegmentFile,
    identity: Identity,
    (position, end): (u64, u64),
) -> Result<Option<(FrameHeader, Vec<u8>)>, WalkError> {
    let mut walker = Walker::new(file, identity, position, end, HEADER_BYTES);
    let Some(header) = walker.header_at(position)? else {
        return Ok(None);
    };
    let body = walker.body(position, &header)?;
    Ok(header.covers(&body).then_some((header, body)))
}

/// Bytes of `bytes` before the first place at which a frame may start, in steps of 8; all of them if there is none. A start
/// looks through what a recycled file had before.
fn to_magic(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks(8);
    let found = words.position(|word| word.starts_with(&MAGIC));
    found.map_or(bytes.len(), |words| words * 8)
}

/// Zero bytes at the start of `bytes`, counted in steps of 8. A start looks through a whole file of zeros, hence
/// the blocks, which the compiler turns into wide instructions.
fn leading_zeros(bytes: &[u8]) -> usize {
    let blocks = bytes.chunks_exact(256).take_while(|block| is_zero(block));
    let start: usize = blocks.map(<[u8]>::len).sum();
    let rest = bytes.get(start..).unwrap_or_default();
    let words = rest.chunks(8).take_while(|word| is_zero(word));
    start + words.map(<[u8]>::len).sum::<usize>()
}

/// Whether there is nothing in `bytes`.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, byte| all | byte) == 0
}

/// A piece of the file in memory.
#[derive(Debug)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: u64,
    capacity: usize,
    /// How much the next read takes, and no later one.
    once: usize,
}

impl Window {
    /// At most `bytes`, and no more than there is to walk.
    pub(crate) fn new(bytes: usize, length: u64) -> Self {
        let capacity = usize::try_from(length).map_or(bytes, |length| length.min(bytes));
        Self {
            bytes: Vec::new(),
            start: 0,
            capacity: capacity.max(HEADER_BYTES),
            once: usize::MAX,
        }
    }

    /// The next read takes no more than `bytes` where that is enough.
    fn read_once(&mut self, bytes: usize) {
        self.once = bytes;
    }

    /// What is there from `position` on: at least `count` bytes (at most the window), fewer only at the file's end.
    pub(crate) fn get(
        &mut self,
        file: &dyn SegmentFile,
        position: u64,
        count: usize,
    ) -> io::Result<&[u8]> {
        if self.from(position).len() < count {
            let mut bytes = std::mem::take(&mut self.bytes);
            let once = std::mem::replace(&mut self.once, usize::MAX);
            bytes.resize(once.max(count).min(self.capacity), 0);
            let read = read_full(file, position, &mut bytes)?;
            bytes.truncate(read);
            self.bytes = bytes;
            self.start = position;
        }
        Ok(self.from(position))
    }

    fn from(&self, position: u64) -> &[u8] {
        let skip = position.checked_sub(self.start);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or(&[])
    }
}

/// Fills `buffer` from `position` on; fewer bytes only at the file's end.
pub(crate) fn read_full(
    file: &dyn SegmentFile,
    position: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(position + filled as u64, rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
