//! Reading the footer of a journal file: whole, or its head only.

use crate::{
    disk::SegmentFile,
    frame::{
        FrameError, FrameHeader, HEADER_BYTES, Kind,
        footer::{
            Footer,
            head::{FooterHead, HeadMark},
        },
    },
    walk::{Identity, Step, WalkError, Walker, read_full},
};

/// How much of a footer is read at once: the head of one of few topics, and its header.
const WINDOW_BYTES: usize = 64 * 1024;

/// How much of a footer a start trusts unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// The head counts if its own checksum is right. For files that were synced: their commit entries are checked when
    /// they are used.
    Head,
    /// All of it is read: it may have reached the disk in part.
    Whole,
}

/// The footer at the end of a file, if there is a valid one.
pub(crate) fn read_footer(
    file: &dyn SegmentFile,
    number: u64,
    length: u64,
) -> Result<Option<(FrameHeader, Footer)>, WalkError> {
    let Some((position, header, mut walker)) = frame(file, number, length)? else {
        return Ok(None);
    };
    let body = walker.body(position, &header)?;
    if !header.covers(&body) {
        return Ok(None);
    }
    let footer = valid(Footer::decode(&body))?;
    Ok(footer
        .filter(|footer| footer.position == position)
        .map(|footer| (header, footer)))
}

/// The head of the footer at the end of a file, if there is a valid one.
pub(crate) fn read_head(
    file: &dyn SegmentFile,
    (number, length): (u64, u64),
    check: Check,
) -> Result<Option<(FrameHeader, FooterHead)>, WalkError> {
    let Some((position, header, mut walker)) = frame(file, number, length)? else {
        return Ok(None);
    };
    let Some(mark) = HeadMark::of(&header) else {
        let whole = read_footer(file, number, length)?;
        return Ok(whole.map(|(header, footer)| (header, footer.into())));
    };
    let head = walker.body_start(position, mark.bytes)?;
    if !mark.covers(&head) || (check == Check::Whole && !walker.body_is_whole(position, &header)?) {
        return Ok(None);
    }
    let head = valid(FooterHead::decode(&header, &head, position))?;
    Ok(head.map(|head| (header, head)))
}

/// The footer frame: its position and header, and what reads its body.
fn frame(
    file: &dyn SegmentFile,
    number: u64,
    length: u64,
) -> Result<Option<(u64, FrameHeader, Walker<'_>)>, WalkError> {
    let mut position = [0; 8];
    let Some(at) = length.checked_sub(8) else {
        return Ok(None);
    };
    read_full(file, at, &mut position)?;
    let position = u64::from_be_bytes(position);
    let fits = position % 8 == 0 && position.saturating_add(HEADER_BYTES as u64) <= length;
    if !fits || position == 0 {
        return Ok(None);
    }
    let identity = Identity { number, salt: None };
    let mut walker = Walker::new(file, identity, position, length, WINDOW_BYTES);
    let Step::Frame { header, .. } = walker.step()? else {
        return Ok(None);
    };
    let is_it = header.kind == Kind::Footer && position + header.frame_bytes() == length;
    Ok(is_it.then_some((position, header, walker)))
}

/// What does not decode is damaged, unless a newer version wrote it.
fn valid<T>(decoded: Result<T, FrameError>) -> Result<Option<T>, WalkError> {
    match decoded {
        Ok(decoded) => Ok(Some(decoded)),
        Err(FrameError::Malformed) => Ok(None),
        Err(newer @ FrameError::Newer(_)) => Err(newer.into()),
    }
}
