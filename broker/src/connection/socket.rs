//! A client's socket, with or without TLS, used the same way: wait until it is ready, then try. No read buffer and no
//! task of its own; a plain socket is used as it is.

use std::{
    io::{self, IoSlice},
    ops::Range,
    os::fd::AsFd,
};

use headwater_storage::FileRange;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::{io::Interest, net::TcpStream};

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
    /// `more` follows at once: the client need not be woken for these alone.
    ///
    /// # Errors
    /// `WouldBlock`: nothing was taken. Others end the connection.
    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) if more => tcp.try_io(Interest::WRITABLE, || write_more(tcp, slices)),
            Self::Plain(tcp) => tcp.try_write_vectored(slices),
            Self::Tls(tls) => tls.try_write(slices),
        }
    }

    /// Takes as much of `range` of a file's stretch as goes now, straight from the file; never by TLS.
    ///
    /// # Errors
    /// `WouldBlock`: nothing was taken. Others end the connection.
    pub(super) fn try_send(&self, file: &FileRange, range: Range<usize>) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_io(Interest::WRITABLE, || file.send(range, tcp.as_fd())),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
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

/// A vectored write that lets the system wait for what follows (`MSG_MORE`, send(2)).
fn write_more(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    let written = sendmsg(tcp, slices, &mut SendAncillaryBuffer::default(), flags)?;
    Ok(written)
}
