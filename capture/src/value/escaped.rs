//! Texts in double quotes in which a backslash takes the next byte literally.

/// A text in quotes, as it stands between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted<'a> {
    inner: &'a [u8],
    has_escapes: bool,
}

impl<'a> Quoted<'a> {
    /// Takes one off the front of `text`, which begins behind the opening quote. Returns it and what follows
    /// the closing quote; `None` if there is none.
    pub(super) fn take(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut has_escapes = false;
        let mut at = 0;
        loop {
            let rest = text.get(at..)?;
            at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            if text.get(at) == Some(&b'"') {
                let inner = text.get(..at)?;
                return Some((Self { inner, has_escapes }, text.get(at + 1..)?));
            }
            has_escapes = true;
            at += 2;
        }
    }

    /// The text itself; in `scratch` if escapes had to be taken out.
    pub(super) fn text<'b>(&self, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.has_escapes {
            return self.inner;
        }
        scratch.clear();
        let mut rest = self.inner;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
            let (plain, behind) = rest.split_at(at);
            scratch.extend_from_slice(plain);
            scratch.extend(behind.get(1));
            rest = behind.get(2..).unwrap_or_default();
        }
        scratch.extend_from_slice(rest);
        scratch
    }
}
