//! Ten thousand connections: what they cost when nobody asks for anything, and when each waits in a fetch.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::database::Database;
use super::fetch_client::FetchRequest;
use super::headwater::{Headwater, Launch};
use super::kafka_frame::invalid;
use super::report::{Cell, Section};
use super::stretch::Stretch;
use super::{Failure, Settings, workload};

const COLUMNS: &[&str] = &[
    "connections",
    "resident MB before",
    "resident MB (hold <= 100, idle)",
    "KB a connection",
    "% of a core (hold <= 2, parked)",
];

const INSTANCE: &str = "connections";
const CONNECTIONS: usize = 10_000;
/// Files of the bench itself besides the sockets.
const OTHER_FILES: u64 = 200;
const FETCH_WAIT: Duration = Duration::from_secs(30);
/// The answer to a fetch that brought nothing.
const RESPONSE_BYTES_MAX: u32 = 4096;

pub(crate) fn run(settings: &Settings) -> Result<Section, Failure> {
    let connections = CONNECTIONS.min(raise_file_limit()?);
    let database = Database::start()?;
    let data = tempfile::tempdir()?;
    let mut sql = database.connect()?;
    workload::create_table(&mut sql)?;
    workload::prepare_instance(&mut sql, INSTANCE)?;
    workload::fill(&mut sql, 1, 1_000, 500)?;
    let launch = Launch::new(&database, INSTANCE, data.path());
    let mut headwater = launch.spawn()?;
    let topic = workload::topic(INSTANCE);
    headwater.wait_for_records(&topic, 1_000, Duration::from_millis(20))?;
    let stretch = headwater.stretch(&topic)?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let duration = Duration::from_secs(settings.parked_seconds);
    let mut section = Section::new("Ten thousand connections", COLUMNS);
    runtime.block_on(async {
        let before = headwater.memory()?.resident;
        let mut idle = Vec::with_capacity(connections);
        for _ in 0..connections {
            idle.push(connect(&stretch).await?);
        }
        section.row(row("idle", connections, before, (&headwater, duration)).await?);
        section.row(parked(idle, before, (&headwater, &stretch), duration).await?);
        Ok::<(), Failure>(())
    })?;
    headwater.stop()?;
    Ok(section)
}

/// Soft limit up to the hard one; how many sockets that leaves.
fn raise_file_limit() -> Result<usize, Failure> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    let files = limit.maximum.unwrap_or(u64::MAX);
    Ok(usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX))
}

async fn connect(stretch: &Stretch) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", stretch.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// All fetch at the end, wait, and fetch again, until they are aborted.
async fn parked(
    idle: Vec<TcpStream>,
    before: u64,
    (headwater, stretch): (&Headwater, &Stretch),
    duration: Duration,
) -> Result<Vec<Cell>, Failure> {
    let connections = idle.len();
    let mut request = FetchRequest::new(&stretch.topic, FETCH_WAIT);
    let request: Arc<[u8]> = request.with_offset(stretch.end).into();
    let mut clients = JoinSet::new();
    for stream in idle {
        clients.spawn(fetch_forever(stream, Arc::clone(&request)));
        // As independent clients are: not all at one moment. The rest of the 30 s is waited for below.
        if clients.len() % 100 == 0 {
            sleep(FETCH_WAIT / 100 / 4).await;
        }
    }
    let what = format!("parked in fetches of {} s", FETCH_WAIT.as_secs());
    let measured = row(&what, connections, before, (headwater, duration)).await?;
    if let Some(ended) = clients.try_join_next() {
        let error = ended?;
        return Err(format!("a parked client ended: {error:?}").into());
    }
    Ok(measured)
}

async fn fetch_forever(mut stream: TcpStream, request: Arc<[u8]>) -> io::Result<()> {
    loop {
        stream.write_all(&request).await?;
        let length = stream.read_u32().await?;
        if length > RESPONSE_BYTES_MAX {
            return Err(invalid(format!(
                "a fetch at the end brought {length} bytes"
            )));
        }
        let mut response = vec![0; length as usize];
        stream.read_exact(&mut response).await?;
    }
}

async fn row(
    what: &str,
    connections: usize,
    before: u64,
    (headwater, duration): (&Headwater, Duration),
) -> Result<Vec<Cell>, Failure> {
    // What accepting and parking cost is not counted.
    sleep(Duration::from_secs(2)).await;
    let (cpu, began) = (headwater.cpu_seconds()?, Instant::now());
    sleep(duration).await;
    let share = (headwater.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
    let resident = headwater.memory()?.resident;
    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    let (before, resident, count) = (before as f64, resident as f64, connections as f64);
    Ok(vec![
        Cell::text(format!("{connections} {what}")),
        Cell::Number(before / 1e6, 1),
        Cell::Number(resident / 1e6, 1),
        Cell::Number((resident - before) / 1e3 / count, 2),
        Cell::Number(share * 100.0, 2),
    ])
}
