//! Keep-alive connections used in turn: the memory of many connections, and the cost of a
//! request on one of many.

use std::io::stdin;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::task::spawn_blocking;

pub use super::connection::Version;
use super::connection::{Connection, Target};

/// Concurrent requests, however many connections there are. So there are few connections
/// to the upstream, whose memory does not matter.
const AT_ONCE: usize = 10;

/// Reads commands from the standard input, says `done` after each and ends with
/// the input. `open N`: N more connections, each with one response. `ask N`: N
/// requests, on all connections in turn.
///
/// # Errors
/// When a connection, a request or a command is wrong.
pub fn run(address: SocketAddr, version: Version, path: &str) -> Result<()> {
    super::runtime()?.block_on(obey(Target::new(address, version, path)?))
}

/// The connections are driven while it waits for a command: HTTP/2 has frames that want
/// an acknowledgement.
async fn obey(target: Target) -> Result<()> {
    let mut lanes: Vec<Lane> = (0..AT_ONCE).map(|_| Lane::new(target.clone())).collect();
    while let Some(line) = spawn_blocking(|| stdin().lines().next()).await? {
        let line = line?;
        let (command, count) = line.split_once(' ').context("a command without a number")?;
        let open = match command {
            "open" => true,
            "ask" => false,
            other => bail!("{other} is no command"),
        };
        lanes = all(lanes, open, count.parse::<usize>()? / AT_ONCE).await?;
        println!("done");
    }
    Ok(())
}

/// Lets every lane open connections or send requests.
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
    target: Target,
    connections: Vec<Connection>,
    /// Whose turn it is.
    next: usize,
}

impl Lane {
    fn new(target: Target) -> Self {
        Self {
            target,
            connections: Vec::new(),
            next: 0,
        }
    }

    async fn open(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let mut connection = self.target.open().await?;
            connection.ask(&self.target).await?;
            self.connections.push(connection);
        }
        Ok(())
    }

    async fn ask(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let turn = self.next % self.connections.len().max(1);
            let connection = self
                .connections
                .get_mut(turn)
                .context("no connection is open")?;
            connection.ask(&self.target).await?;
            self.next = turn + 1;
        }
        Ok(())
    }
}
