//! The command line's way to a running broker: HTTP over the Unix socket in its data directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

use super::Exit;
use crate::{
    config::file,
    http::SOCKET_NAME,
    limits::{CLI_ANSWER_BYTES, CLI_ANSWER_TIMEOUT},
};

/// Configuration files that are looked at where the command line names neither a directory nor a file.
const USUAL_FILES: [&str; 2] = ["headwater.toml", "/etc/headwater/headwater.toml"];

/// What stands for itself in a part of a path (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Which broker is meant.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// The broker's data directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "HEADWATER_DATA",
        conflicts_with = "config",
        global = true
    )]
    data: Option<PathBuf>,
    /// Its configuration file, which names the directory [default: headwater.toml here or in /etc/headwater].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

/// A broker that runs on this machine.
#[derive(Debug)]
pub(super) struct ApiClient {
    socket: PathBuf,
}

impl ApiClient {
    /// The broker at this place; whether it runs is found out by asking.
    ///
    /// # Errors
    /// [`Exit::Usage`]: no place is named, or the configuration file cannot be read.
    pub(super) fn at(place: &Place) -> Result<Self, Exit> {
        let data = match (&place.data, &place.config) {
            (Some(data), _) => data.clone(),
            (None, Some(config)) => data_of(config)?,
            (None, None) => {
                let there = USUAL_FILES
                    .map(Path::new)
                    .into_iter()
                    .find(|file| file.exists());
                data_of(there.ok_or_else(|| {
                    Exit::Usage(
                        "which broker? Name its data directory with --data DIR, or its configuration with --config \
                         FILE"
                            .to_owned(),
                    )
                })?)?
            }
        };
        Ok(Self {
            socket: data.join(SOCKET_NAME),
        })
    }

    /// What the broker says to GET.
    ///
    /// # Errors
    /// [`Exit::Failed`]: no broker runs there, or it failed. [`Exit::Rules`], [`Exit::Usage`]: it does not take what was asked.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Exit> {
        self.send(Method::GET, path, None).await
    }

    /// What the broker says to a write; `Null` where it has nothing to say.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Exit> {
        let asked = timeout(CLI_ANSWER_TIMEOUT, self.ask(method, path, body)).await;
        let (status, text) = asked.map_err(|_| {
            let seconds = CLI_ANSWER_TIMEOUT.as_secs();
            Exit::Failed(format!("the broker did not answer in {seconds} s"))
        })??;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer = serde_json::from_slice(&text);
        let answer =
            answer.map_err(|error| Exit::Failed(format!("the broker's answer: {error}")))?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(refused(status, &answer))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Exit> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        let lost = |error: hyper::Error| Exit::Failed(format!("the broker hung up: {error}"));
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(lost)?;
        // Ends with the sender; what ended it, the sender says too.
        let driving = tokio::spawn(connection);
        let text = body.map_or_else(String::new, Value::to_string);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(text)))
            .map_err(|error| Exit::Usage(format!("{path}: {error}")))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), CLI_ANSWER_BYTES)
            .collect()
            .await;
        let body = body.map_err(|error| Exit::Failed(format!("the broker's answer: {error}")))?;
        driving.abort();
        Ok((status, body.to_bytes()))
    }

    fn unreachable(&self, error: &io::Error) -> Exit {
        let socket = self.socket.display();
        let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        Exit::Failed(if nobody.contains(&error.kind()) {
            format!(
                "no broker runs there: nobody answers at {socket}; start it with `headwater run`, or name another place \
                 with --data or --config"
            )
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            format!("{socket} belongs to another user: run this as the user of the broker")
        } else {
            format!("cannot connect to {socket}: {error}")
        })
    }
}

/// A part of a path.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn data_of(config: &Path) -> Result<PathBuf, Exit> {
    file::data_dir(config).map_err(|error| Exit::Usage(error.to_string()))
}

/// What the broker does not take is a matter of usage; all else failed.
fn refused(status: StatusCode, answer: &Value) -> Exit {
    let line = answer["error"].as_str().unwrap_or("refused").to_owned();
    let details = answer["details"].as_array().into_iter().flatten();
    let details: Vec<String> = details
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    match status {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST if !details.is_empty() => {
            Exit::Rules(details)
        }
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => Exit::Usage(line),
        _ => Exit::Failed(line),
    }
}
