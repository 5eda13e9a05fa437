//! A client's socket, with or without TLS, used the same way: wait until it is ready, then try. No read buffer and no
//! task of its own; a plain socket is used as it is.

use std::io::{self, IoSlice};

use tokio::net::TcpStream;

use super::tls::TlsSocket;

#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// Returns when [`Socket::try_read`] may give something. Cancel safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.readable().await,
            Self::Tls(tls) => tls.readable().await,
        }
    }

    /// What the client sent, into `chunk`; 0: it sends no more.
    ///
    /// # Errors
    /// `WouldBlock`: nothing yet. Others end the connection.
    pub(super) fn try_read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read(chunk),
            Self::Tls(tls) => tls.try_read(chunk),
        }
    }

    /// Takes as much of `slices` as goes now. By TLS it is encrypted, and may wait here until [`Socket::try_flush`].
    ///
    /// # Errors
    /// `WouldBlock`: nothing was taken. Others end the connection.
    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write_vectored(slices),
            Self::Tls(tls) => tls.try_write(slices),
        }
    }

    /// Sends what was taken and waits here.
    ///
    /// # Errors
    /// `WouldBlock`: something still waits. Others end the connection.
    pub(super) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.try_flush(),
        }
    }

    /// Returns when one of the two above may go on. Cancel safe.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.writable().await,
            Self::Tls(tls) => tls.tcp().writable().await,
        }
    }

    /// Says that nothing more comes, as far as that goes without waiting.
    pub(super) fn farewell(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(tls) => tls.farewell(),
        }
    }
}
