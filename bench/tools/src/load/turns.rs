//! Connections that stay and take turns: what many of them cost in memory, and
//! what a request on one of many costs.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client;

/// Requests on their way at once, however many connections there are. So there
/// are as few connections to the upstream, and what they hold does not count.
const AT_ONCE: usize = 10;

/// Reads commands from the standard input, says `done` after each and ends with
/// the input. `open N`: N connections more, each with one answer. `ask N`: N
/// requests, on all connections in turn.
///
/// # Errors
/// When a connection, a request or a command is wrong.
pub fn run(address: SocketAddr, path: &str) -> Result<()> {
    let runtime = super::runtime()?;
    let config = client::config(Resumption::disabled())?;
    let mut lanes: Vec<Lane> = (0..AT_ONCE)
        .map(|_| Lane::new(address, config.clone(), client::request(path)))
        .collect();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, count) = line.split_once(' ').context("a command without a number")?;
        let open = match command {
            "open" => true,
            "ask" => false,
            other => bail!("{other} is no command"),
        };
        lanes = runtime.block_on(all(lanes, open, count.parse::<usize>()? / AT_ONCE))?;
        println!("done");
    }
    Ok(())
}

/// Lets every lane open connections or ask.
async fn all(lanes: Vec<Lane>, open: bool, count: usize) -> Result<Vec<Lane>> {
    let mut tasks = tokio::task::JoinSet::new();
    for mut lane in lanes {
        tasks.spawn(async move {
            match open {
                true => lane.open(count).await?,
                false => lane.ask(count).await?,
            }
            anyhow::Ok(lane)
        });
    }
    let mut lanes = Vec::new();
    while let Some(lane) = tasks.join_next().await {
        lanes.push(lane??);
    }
    Ok(lanes)
}

/// A part of the connections, of which one at a time is busy.
struct Lane {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    request: Vec<u8>,
    streams: Vec<TlsStream<TcpStream>>,
    /// Whose turn it is.
    next: usize,
}

impl Lane {
    fn new(address: SocketAddr, config: Arc<ClientConfig>, request: Vec<u8>) -> Self {
        Self {
            address,
            config,
            request,
            streams: Vec::new(),
            next: 0,
        }
    }

    async fn open(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let mut stream = client::connect(self.address, &self.config).await?;
            client::ask(&mut stream, &self.request).await?;
            self.streams.push(stream);
        }
        Ok(())
    }

    async fn ask(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let turn = self.next % self.streams.len().max(1);
            let stream = self
                .streams
                .get_mut(turn)
                .context("no connection is open")?;
            client::ask(stream, &self.request).await?;
            self.next = turn + 1;
        }
        Ok(())
    }
}
