//! [`FrameDecoder`]: a stream of bytes becomes request frames. Knows nothing of what is in them.
//!
//! On the wire a frame is its length (i32, big endian) and that many bytes. The buffer grows with
//! the bytes that arrive, never by the length that was announced: a thousand peers that announce a
//! megabyte each and send nothing cost nothing.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION;

/// Bytes of the length field.
const LENGTH_SIZE: usize = 4;

/// Why the stream cannot be read further: the caller logs it once and closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is negative.
    #[error("frame length is negative, length={0}")]
    Negative(i32),
    /// The length exceeds the limit.
    #[error("frame exceeds the limit, length={length} limit={limit}")]
    TooLarge {
        /// The announced length, in bytes.
        length: usize,
        /// The limit in force, in bytes.
        limit: usize,
    },
    /// The peer began with a TLS handshake: it is configured for TLS, this listener is not.
    #[error("peer speaks TLS to a plaintext listener")]
    Tls,
    /// The peer began with an HTTP request.
    #[error("peer speaks HTTP to a Kafka listener")]
    Http,
}

/// Cuts a connection's bytes into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    limit: usize,
    /// Whether no frame was taken yet: only then can the peer be one of another protocol.
    at_start: bool,
}

impl FrameDecoder {
    /// A decoder for frames of at most `max` bytes, the length field not counted.
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit: max,
            at_start: true,
        }
    }

    /// Changes the limit for frames not taken yet: after authentication it is raised.
    pub fn set_max(&mut self, max: usize) {
        self.limit = max;
    }

    /// Appends what arrived. Take all frames before pushing more, and no more than one frame and
    /// one push are ever held.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes held that belong to no frame taken yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the next whole frame, its length field removed. None if more bytes must arrive first.
    ///
    /// # Errors
    /// [`FrameError`]: the stream is lost, and every further call says so again.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means that bytes are missing yet"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(&length_field) = self.buffer.first_chunk::<LENGTH_SIZE>() else {
            return Ok(None);
        };
        let length = self.check(length_field)?;
        if self.buffer.len() - LENGTH_SIZE < length {
            return Ok(None);
        }
        self.at_start = false;
        self.buffer.advance(LENGTH_SIZE);
        let frame = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            // Lets go of the memory: an idle connection holds no buffer.
            self.buffer = BytesMut::new();
        }
        Ok(Some(frame))
    }

    fn check(&self, field: [u8; LENGTH_SIZE]) -> Result<usize, FrameError> {
        let announced = i32::from_be_bytes(field);
        let length = usize::try_from(announced).map_err(|_| FrameError::Negative(announced))?;
        if length <= self.limit {
            return Ok(length);
        }
        Err(self.other_protocol(field).unwrap_or(FrameError::TooLarge {
            length,
            limit: self.limit,
        }))
    }

    /// Recognises the first bytes of protocols that people point at a Kafka port by mistake. Read
    /// as a length they are all far above any limit.
    fn other_protocol(&self, first: [u8; LENGTH_SIZE]) -> Option<FrameError> {
        if !self.at_start {
            return None;
        }
        match &first {
            // A TLS record of type handshake, version 3.x.
            [0x16, 0x03, ..] => Some(FrameError::Tls),
            b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"OPTI" | b"CONN" | b"PATC"
            | b"PRI " => Some(FrameError::Http),
            _ => None,
        }
    }
}

/// The frame of a raw SASL token, its length field included, as it goes to a client that began with
/// SaslHandshake version 0: no header, no API (KIP-43).
///
/// The client's own tokens come the same way. [`FrameDecoder::next`] cuts them off the stream as it
/// cuts requests, under [`REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION`]; the frame is the token. An empty
/// token is a legal one: it ends a successful PLAIN exchange.
///
/// # Errors
/// [`FrameError::TooLarge`] if the token is longer than a client's own may be.
pub fn sasl_token_frame(token: &[u8]) -> Result<Bytes, FrameError> {
    let too_large = FrameError::TooLarge {
        length: token.len(),
        limit: REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION,
    };
    if token.len() > REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION {
        return Err(too_large);
    }
    let length = i32::try_from(token.len()).map_err(|_| too_large)?;
    Ok([&length.to_be_bytes(), token].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let length = i32::try_from(body.len()).unwrap();
        [&length.to_be_bytes(), body].concat()
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_cut() {
        let stream = [frame(b"first"), frame(b""), frame(b"third one")].concat();
        for piece in 1..=stream.len() {
            let mut decoder = FrameDecoder::new(9);
            let mut frames = Vec::new();
            for bytes in stream.chunks(piece) {
                decoder.push(bytes);
                while let Some(frame) = decoder.next().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"first"[..], b"", b"third one"], "piece={piece}");
            assert_eq!(decoder.buffered(), 0);
        }
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut decoder = FrameDecoder::new(1 << 30);
        decoder.push(&(1_i32 << 30).to_be_bytes());
        decoder.push(&[0; 60]);
        assert_eq!(decoder.next(), Ok(None));
        assert!(
            decoder.buffer.capacity() < 1024,
            "capacity={}",
            decoder.buffer.capacity()
        );
    }

    #[test]
    fn a_negative_or_oversized_length_is_an_error_again_and_again() {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(&(-1_i32).to_be_bytes());
        assert_eq!(decoder.next(), Err(FrameError::Negative(-1)));
        assert_eq!(decoder.next(), Err(FrameError::Negative(-1)));

        let mut decoder = FrameDecoder::new(100);
        decoder.push(&101_i32.to_be_bytes());
        assert_eq!(
            decoder.next(),
            Err(FrameError::TooLarge {
                length: 101,
                limit: 100
            })
        );
    }

    #[test]
    fn the_limit_can_be_raised_between_frames() {
        let mut decoder = FrameDecoder::new(4);
        decoder.push(&frame(b"auth"));
        assert!(decoder.next().unwrap().is_some());
        decoder.set_max(5);
        decoder.push(&frame(b"after"));
        assert_eq!(decoder.next().unwrap().unwrap(), "after");
    }

    #[test]
    fn tls_and_http_are_recognised_at_the_start_only() {
        let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
        let mut decoder = FrameDecoder::new(100);
        decoder.push(&hello);
        assert_eq!(decoder.next(), Err(FrameError::Tls));

        let mut decoder = FrameDecoder::new(100);
        decoder.push(b"GET / HTTP/1.1\r\n");
        assert_eq!(decoder.next(), Err(FrameError::Http));

        let mut decoder = FrameDecoder::new(100);
        decoder.push(&frame(b"kafka"));
        decoder.push(&hello);
        assert!(decoder.next().unwrap().is_some());
        assert!(matches!(decoder.next(), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn a_raw_sasl_token_comes_back_and_one_over_the_limit_is_refused() {
        let limit = REQUEST_BYTES_MAX_BEFORE_AUTHENTICATION;
        for size in [0, 1, limit] {
            let token = vec![0; size];
            let mut decoder = FrameDecoder::new(limit);
            decoder.push(&sasl_token_frame(&token).unwrap());
            assert_eq!(decoder.next().unwrap().unwrap(), token, "size={size}");
        }
        let length = limit + 1;
        let refused = FrameError::TooLarge { length, limit };
        assert_eq!(sasl_token_frame(&vec![0; length]), Err(refused));
        let mut decoder = FrameDecoder::new(limit);
        decoder.push(&frame(&vec![0; length]));
        assert_eq!(decoder.next(), Err(refused));
    }
}
