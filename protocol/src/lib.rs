//! The Kafka wire protocol as headwater serves it. No I/O, no tokio, no sled, no clock.
//!
//! The path of a request: bytes from the socket go into a [`frame::FrameDecoder`], which yields whole
//! frames under a size limit. [`request::decode`] reads a frame's fixed first fields, looks the API
//! and version up in the one table of [`api`], walks the frame against its layout (`shape`), and only
//! then lets the `kafka-protocol` crate decode it. A handler answers with a [`response::Response`],
//! and [`response::encode`] turns that into byte pieces for one vectored write.
//!
//! Records are built once ([`batch`]), stored as they are, and sent as they were stored: the Fetch
//! answer is put together by [`fetch_response`] around slices of the log.
//!
//! Who may not ask, or asks for what is not done here, gets [`refusal::refuse`]: the answer to any
//! request that says so in the place where that API's clients look.
//!
//! What a stranger may make us hold is in [`limits`].

#![deny(clippy::indexing_slicing)]

pub mod api;
pub mod batch;
pub mod fetch_response;
pub mod frame;
pub mod limits;
pub mod refusal;
pub mod request;
pub mod response;
pub mod sasl;
mod shape;
