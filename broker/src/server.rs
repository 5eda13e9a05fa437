//! The Kafka listeners: accept, bound the number of connections, and at a stop let them finish what they do.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{error, warn};

use crate::{
    auth::places::{NoPlace, Place},
    certificate::Certificate,
    config::ListenerConfig,
    connection,
    context::{Entrance, Session, Shared},
    limits::{ACCEPT_BACK_OFF, STOP_GRACE},
    metrics::Counted,
    stop::stopped,
};

/// A peer that is gone without a word (power, network) is noticed after this and some probes.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    entrance: Arc<Entrance>,
}

/// What a client was let through with. Dropping it makes room for another.
#[derive(Debug)]
struct Admitted {
    permit: OwnedSemaphorePermit,
    /// Until the client has logged in; `None` where it need not.
    place: Option<Place>,
}

impl Listener {
    /// Binds; clients may connect from now on and are served once [`Listener::serve`] runs. `certificate` as the
    /// configuration asks for one.
    pub(crate) async fn bind(
        config: &ListenerConfig,
        certificate: Option<Arc<Certificate>>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(config.listen).await?;
        let address = socket.local_addr()?;
        let mechanisms = config
            .sasl
            .as_ref()
            .map(|sasl| sasl.mechanisms.as_slice().into());
        let entrance = Entrance {
            advertised: config.advertised.clone(),
            protocol: config.protocol(),
            certificate,
            mechanisms,
        };
        Ok(Self {
            socket,
            address,
            entrance: Arc::new(entrance),
        })
    }

    /// With the port that was taken, where 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the broker stops, then until its connections have ended, at most [`STOP_GRACE`].
    pub(crate) async fn serve(self, shared: Arc<Shared>, permits: Arc<Semaphore>) {
        let mut stop = shared.stop.clone();
        let mut connections = JoinSet::new();
        let counter = shared
            .metrics
            .listener(self.address, self.entrance.protocol);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(ended) = connections.join_next() => tell_panic(ended),
                accepted = self.socket.accept() => match accepted {
                    Ok(accepted) => {
                        if let Some(admitted) = self.admit(&permits, &shared, accepted.1) {
                            let counted = counter.connected();
                            connections.spawn(self.connection(accepted, Arc::clone(&shared), (admitted, counted)));
                        }
                    }
                    Err(error) => back_off(&shared, &error).await,
                },
            }
        }
        drop(self.socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(STOP_GRACE, drained).await.is_err() {
            connections.shutdown().await;
        }
    }

    /// The task of one connection.
    fn connection(
        &self,
        (stream, peer): (TcpStream, SocketAddr),
        shared: Arc<Shared>,
        (admitted, counted): (Admitted, Counted),
    ) -> impl Future<Output = ()> + use<> {
        // A client that is gone already is noticed at the first read.
        let local = stream.local_addr().unwrap_or(self.address);
        prepare(&stream);
        let session = Session::new(peer, local, &self.entrance);
        async move {
            let _counted = counted;
            let Admitted { permit, place } = admitted;
            connection::serve(Arc::clone(&shared), stream, session, place).await;
            drop(permit);
        }
    }

    /// Room for one more connection; without it the client is closed as soon as it is accepted.
    fn admit(
        &self,
        permits: &Arc<Semaphore>,
        shared: &Shared,
        peer: SocketAddr,
    ) -> Option<Admitted> {
        let admitted = self.try_admit(permits, shared, peer);
        if let Err(reason) = &admitted
            && let Some(unsaid) = shared.accepts.admit(shared.clock.monotonic())
        {
            warn!(%peer, %reason, unsaid, "connection refused: there are too many already");
        }
        admitted.ok()
    }

    fn try_admit(
        &self,
        permits: &Arc<Semaphore>,
        shared: &Shared,
        peer: SocketAddr,
    ) -> Result<Admitted, NoRoom> {
        let permit = Arc::clone(permits)
            .try_acquire_owned()
            .map_err(|_| NoRoom::Connections(shared.connections.connections_max))?;
        let waits = self.entrance.certificate.is_some() || self.entrance.mechanisms.is_some();
        let place = waits
            .then(|| shared.auth.places.take(peer.ip()))
            .transpose()?;
        Ok(Admitted { permit, place })
    }
}

/// Why a client is not let through.
#[derive(Debug, thiserror::Error)]
enum NoRoom {
    #[error("{0} connections (kafka.connections_max)")]
    Connections(usize),
    #[error(transparent)]
    Place(#[from] NoPlace),
}

/// Both only make things better; neither failing is a reason to refuse a client.
fn prepare(stream: &TcpStream) {
    stream.set_nodelay(true).unwrap_or(());
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    SockRef::from(stream)
        .set_tcp_keepalive(&keepalive)
        .unwrap_or(());
}

/// Without descriptors or memory, accepting at once again would only burn the processor: connections that are
/// there live on, and new ones wait in the backlog.
async fn back_off(shared: &Shared, error: &io::Error) {
    let errno = Errno::from_io_error(error);
    if !matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    ) {
        return;
    }
    if let Some(unsaid) = shared.accepts.admit(shared.clock.monotonic()) {
        error!(%error, unsaid, "cannot accept connections: raise the limit of open files (ulimit -n)");
    }
    sleep(ACCEPT_BACK_OFF).await;
}

fn tell_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection's task panicked; this is a fault of headwater, please report it");
    }
}
