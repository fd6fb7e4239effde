//! Requests at a fixed rate, independent of the responses: the latency of each counts from
//! when it is due, so one that waits for a slow response is as late as for a user (no
//! coordinated omission).

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustls::client::Resumption;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::client;

/// From the last handshake to the first request.
const PAUSE: Duration = Duration::from_millis(100);

/// Concurrent clients, each of which makes a handshake and closes.
#[derive(Debug, Clone, Copy)]
pub struct Arrivals {
    pub address: SocketAddr,
    pub each_second: u32,
}

/// Prints `ready` when all connections are open, then the latency of each request
/// in microseconds, one a line.
///
/// # Errors
/// When a connection or a request fails.
pub fn run(
    address: SocketAddr,
    each_second: u32,
    connections: usize,
    seconds: f64,
    arrivals: Option<Arrivals>,
) -> Result<()> {
    let runtime = super::runtime()?;
    let latencies =
        runtime.block_on(spread(address, each_second, connections, seconds, arrivals))?;
    let lines: Vec<String> = latencies
        .iter()
        .map(|latency| latency.as_micros().to_string())
        .collect();
    println!("{}", lines.join("\n"));
    Ok(())
}

async fn spread(
    address: SocketAddr,
    each_second: u32,
    connections: usize,
    seconds: f64,
    arrivals: Option<Arrivals>,
) -> Result<Vec<Duration>> {
    let config = client::config(Resumption::disabled())?;
    let mut clients = tokio::task::JoinSet::new();
    let mut queues = Vec::new();
    for _ in 0..connections {
        let mut stream = client::connect(address, &config).await?;
        let request = client::request("/");
        client::ask(&mut stream, &request).await?;
        let (queue, mut due) = unbounded_channel::<Instant>();
        queues.push(queue);
        clients.spawn(async move {
            let mut latencies = Vec::new();
            while let Some(due) = due.recv().await {
                client::ask(&mut stream, &request).await?;
                latencies.push(due.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    // The caller starts to measure here.
    println!("ready");
    let count = within(seconds, each_second);
    let mut threads = vec![thread::spawn(move || tell(&queues, each_second, count))];
    threads.extend(arrivals.map(|it| thread::spawn(move || arrive(it, seconds))));
    let mut latencies = Vec::new();
    while let Some(done) = clients.join_next().await {
        latencies.extend(done??);
    }
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("the clock or who arrives has failed"))??;
    }
    Ok(latencies)
}

/// The total number.
fn within(seconds: f64, each_second: u32) -> u32 {
    (f64::from(each_second) * seconds) as u32
}

/// Starts clients for as long as there are requests.
fn arrive(arrivals: Arrivals, seconds: f64) -> Result<()> {
    super::runtime()?.block_on(async {
        let config = client::config(Resumption::disabled())?;
        let pause = Duration::from_secs(1) / arrivals.each_second;
        let mut due = tokio::time::interval_at(tokio::time::Instant::now() + PAUSE, pause);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..within(seconds, arrivals.each_second) {
            due.tick().await;
            let config = config.clone();
            clients.spawn(async move {
                let stream = client::connect(arrivals.address, &config).await?;
                client::close(stream).await;
                anyhow::Ok(())
            });
        }
        while let Some(done) = clients.join_next().await {
            done??;
        }
        Ok(())
    })
}

/// Tells each client when its requests are due. A thread of its own, since tokio
/// sleeps to the next millisecond.
fn tell(queues: &[UnboundedSender<Instant>], each_second: u32, count: u32) -> Result<()> {
    // Or the kernel would wake it 50 us late.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let begin = Instant::now() + PAUSE;
    for number in 0..count {
        let due = begin + Duration::from_secs(1) * number / each_second;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A client that has failed has closed its channel, and reports its error.
        let _ = queues[number as usize % queues.len()].send(due);
    }
    Ok(())
}
