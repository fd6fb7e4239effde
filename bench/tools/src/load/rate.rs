//! Requests at a fixed rate, whatever the answers do: each has the moment at
//! which it is due, and its latency counts from there, so one that waits behind a
//! slow answer is as late as its user would find it (no coordinated omission).

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustls::client::Resumption;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::client;

/// From the last handshake to the first request.
const PAUSE: Duration = Duration::from_millis(100);

/// Prints `ready` when all connections are open, then the latency of each request
/// in microseconds, one a line.
///
/// # Errors
/// When a connection or a request fails.
pub fn run(address: SocketAddr, each_second: u32, connections: usize, seconds: f64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let count = (f64::from(each_second) * seconds) as u32;
    let latencies = runtime.block_on(spread(address, each_second, connections, count))?;
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
    count: u32,
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
    // Who counts what the requests cost begins here.
    println!("ready");
    let clock = std::thread::spawn(move || tell(&queues, each_second, count));
    let mut latencies = Vec::new();
    while let Some(done) = clients.join_next().await {
        latencies.extend(done??);
    }
    clock
        .join()
        .map_err(|_| anyhow::anyhow!("the clock has failed"))??;
    Ok(latencies)
}

/// Tells each client when its requests are due. A thread of its own, since tokio
/// sleeps to the next millisecond.
fn tell(queues: &[UnboundedSender<Instant>], each_second: u32, count: u32) -> Result<()> {
    // Or the kernel would wake it 50 us late.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let begin = Instant::now() + PAUSE;
    for number in 0..count {
        let due = begin + Duration::from_secs(1) * number / each_second;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // A client that has failed takes nothing any more, and says so itself.
        let _ = queues[number as usize % queues.len()].send(due);
    }
    Ok(())
}
