//! Who is at the other end of a connection, for the history of what he does.

use tokio::net::{TcpStream, UnixStream};

/// The operator, as far as the connection tells: `local uid 1000`, `http 127.0.0.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who(pub(crate) String);

/// A stream that tells who is at its other end.
pub(super) trait Peer {
    /// Asks the kernel.
    fn who(&self) -> Who;
}

impl Peer for UnixStream {
    fn who(&self) -> Who {
        Who(match self.peer_cred() {
            Ok(peer) => format!("local uid {}", peer.uid()),
            Err(_) => "local".to_owned(),
        })
    }
}

impl Peer for TcpStream {
    fn who(&self) -> Who {
        Who(match self.peer_addr() {
            Ok(peer) => format!("http {}", peer.ip().to_canonical()),
            Err(_) => "http".to_owned(),
        })
    }
}
