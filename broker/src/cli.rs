//! The command line. Usage and exit codes are promises: `docs/configuration.md`.

mod check_data;
mod check_source;
mod client;
mod dev;
mod exit;
mod group;
mod instance;
mod output;
mod password;
mod run;
mod screen;
mod serve;
mod source_options;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::exit::Exit;
use self::screen::Screen;
use crate::{config, limits::BLOCKING_THREADS, limits::WORKER_THREADS};

/// Reads a database's change log, stores every committed row change once, and serves it to Kafka clients.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Track one database, for a laptop: no file, loopback only, data in a temporary directory.
    Dev(dev::DevArgs),
    /// Run as a server, by a configuration file.
    Run(ConfigFile),
    /// Consumer groups of a broker that runs on this machine.
    Group(group::GroupArgs),
    /// The tracked databases of a broker that runs on this machine.
    Instance(instance::InstanceArgs),
    /// Check something without starting anything.
    #[command(subcommand)]
    Check(Check),
}

#[derive(Debug, Subcommand)]
enum Check {
    /// A database as a source, before anything is made there: settings, rights, slots, tables. Writes nothing.
    Source(check_source::CheckSource),
    /// A configuration file; secrets are not read.
    Config {
        /// The file.
        file: PathBuf,
    },
    /// A data directory: every byte of it is read, nothing is written.
    Data(check_data::CheckData),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Does what was asked and returns the process's exit code.
#[must_use]
pub fn run(cli: Cli) -> u8 {
    let screen = Screen::new();
    let done = match cli.command {
        Command::Dev(args) => dev::prepare(args).and_then(|dev| on_runtime(dev::run(dev, &screen))),
        Command::Run(args) => {
            run::prepare(&args.config).and_then(|loaded| on_runtime(run::run(loaded)))
        }
        Command::Group(args) => on_runtime(group::run(args, &screen)),
        Command::Instance(args) => on_runtime(instance::run(args)),
        Command::Check(Check::Config { file }) => check_config(&file, &screen),
        Command::Check(Check::Source(args)) => on_runtime(check_source::run(args)),
        Command::Check(Check::Data(args)) => check_data::run(&args),
    };
    match done {
        Ok(()) => Exit::DONE,
        Err(exit) => {
            for line in exit.lines() {
                screen.line(&format!("headwater: {line}"));
            }
            exit.code()
        }
    }
}

fn check_config(file: &std::path::Path, screen: &Screen) -> Result<(), Exit> {
    config::file::check(file).map_err(|error| Exit::Usage(error.to_string()))?;
    screen.line(&format!("{}: ok", file.display()));
    Ok(())
}

/// Few threads: work is short and never blocks, and every thread costs memory.
fn on_runtime(work: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(*WORKER_THREADS.start(), *WORKER_THREADS.end()))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("headwater")
        .enable_all()
        .build()
        .map_err(|error| Exit::Failed(format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(work);
    // A disk read that hangs must not hold the process.
    runtime.shutdown_background();
    done
}
