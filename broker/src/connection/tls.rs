//! TLS on a client's socket. tokio-rustls makes the handshake; after it rustls is driven here, so that a TLS socket is
//! waited for and tried as a plain one, and a response is copied once: while it is encrypted.

use std::{
    io::{self, IoSlice, Read, Write},
    sync::Arc,
};

use rustls::{Error, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::End;
use crate::limits::TLS_BUFFER_BYTES;

/// A socket behind a finished handshake.
#[derive(Debug)]
pub(super) struct TlsSocket {
    tcp: TcpStream,
    tls: ServerConnection,
    /// Decrypted bytes that were not read yet: the socket may never become readable again for them.
    unread: usize,
}

/// Makes the handshake. The caller has the deadline.
pub(super) async fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> Result<TlsSocket, End> {
    let accepted = TlsAcceptor::from(config).accept(tcp).await;
    let (tcp, mut tls) = accepted.map_err(end)?.into_inner();
    tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
    // The handshake may have brought data along.
    let unread = tls
        .process_new_packets()
        .map_err(tls_end)?
        .plaintext_bytes_to_read();
    Ok(TlsSocket { tcp, tls, unread })
}

fn end(error: io::Error) -> End {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(inner) => tls_end(inner.clone()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => End::Peer,
        None => End::Io(error),
    }
}

/// Why a handshake fails, in an operator's words.
fn tls_end(error: Error) -> End {
    let line = if let Error::InvalidMessage(_) = error {
        "peer does not speak TLS to a TLS listener: set security.protocol in the client".to_owned()
    } else if let Error::AlertReceived(alert) = error {
        format!(
            "the client ended the TLS handshake ({alert:?}): most often it does not trust the certificate, or the \
             certificate is not for the name it connected to"
        )
    } else {
        format!("TLS handshake failed: {error}")
    };
    End::Tls(line)
}

impl TlsSocket {
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        if self.unread > 0 {
            return Ok(());
        }
        self.tcp.readable().await
    }

    /// Reads from the socket once at most, so that a client of many empty records has its turn and no more.
    pub(super) fn try_read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        if self.unread == 0 {
            if self.tls.read_tls(&mut Tcp(&self.tcp))? == 0 {
                return Ok(0);
            }
            self.take_packets()?;
        }
        match self.tls.reader().read(chunk) {
            Ok(size) => {
                self.unread = self.unread.saturating_sub(size);
                Ok(size)
            }
            Err(error) => Err(error),
        }
    }

    fn take_packets(&mut self) -> io::Result<()> {
        let taken = self.tls.process_new_packets();
        if self.tls.wants_write() {
            // A new key, or the alert that says what was wrong. Without room now it goes with the next response.
            self.try_flush().or_else(would_block)?;
        }
        let state = taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.unread = state.plaintext_bytes_to_read();
        Ok(())
    }

    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // What was encrypted before goes first, so that no more than the buffer ever waits.
        self.try_flush()?;
        let taken = self.tls.writer().write_vectored(slices)?;
        self.try_flush().or_else(would_block)?;
        Ok(taken)
    }

    pub(super) fn try_flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Tcp(&self.tcp))?;
        }
        Ok(())
    }

    pub(super) fn farewell(&mut self) {
        self.tls.send_close_notify();
        self.try_flush().unwrap_or(());
    }
}

fn would_block(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::WouldBlock {
        Ok(())
    } else {
        Err(error)
    }
}

/// The socket as rustls reads and writes it: without waiting.
struct Tcp<'a>(&'a TcpStream);

impl Read for Tcp<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Tcp<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
