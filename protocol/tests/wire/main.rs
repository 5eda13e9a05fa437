//! What stands on the wire: batches, requests and responses beside the `kafka-protocol` crate's own
//! encoder and decoder, as clients have them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod batches;
mod fetch_response;
mod refusals;
mod requests;
mod responses;
mod samples;
mod seeds;

use bytes::Bytes;
use headwater_protocol::{
    request::RequestHeader,
    response::{self, EncodeError, Piece, Response},
};

/// [`response::encode`] of what is all in memory.
fn encode(header: &RequestHeader, response: Response) -> Result<Vec<Bytes>, EncodeError> {
    let bytes = |piece| match piece {
        Piece::Memory(bytes) => bytes,
        Piece::Elsewhere { .. } => panic!("nothing is elsewhere: {piece:?}"),
    };
    let pieces = response::encode(header, response)?;
    Ok(pieces.into_iter().map(bytes).collect())
}
