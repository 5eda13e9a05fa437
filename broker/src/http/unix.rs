//! The Unix socket of the data directory.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Its name in the data directory.
pub(crate) const SOCKET_NAME: &str = "headwater.sock";

const BACKLOG: i32 = 64;

/// Binds `path` for its owner only. A socket that is there is a leftover: the directory is locked by us.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before listening: nobody can connect while the mode is still the umask's.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(
        std::os::fd::OwnedFd::from(socket),
    ))
}
