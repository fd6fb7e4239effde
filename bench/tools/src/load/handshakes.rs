//! Handshakes, and nothing behind them, as `openssl s_time` makes them; that one
//! does not resume TLS 1.3.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup};

use super::client;

/// Clients that are at it at once, so that the server never waits for one.
const AT_ONCE: usize = 8;

/// Prints how many handshakes there were within `seconds`.
///
/// # Errors
/// When one fails, or is resumed where it should not be, or the other way round.
pub fn run(address: SocketAddr, resumed: bool, seconds: f64) -> Result<()> {
    let tickets = Arc::new(Tickets::default());
    let config = client::config(Resumption::store(tickets.clone()))?;
    let runtime = super::runtime()?;
    let count = runtime.block_on(async {
        // A ticket for each client to begin with. Who asks for something gets it
        // even from a server that sends tickets with its first answer only.
        for _ in 0..if resumed { AT_ONCE } else { 0 } {
            let mut first = client::connect(address, &config).await?;
            client::ask(&mut first, &client::request("/")).await?;
            client::close(first).await;
        }
        tickets.offered.store(resumed, Ordering::Relaxed);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            clients.spawn(repeat(address, config.clone(), resumed, end));
        }
        let mut count = 0;
        while let Some(done) = clients.join_next().await {
            count += done??;
        }
        anyhow::Ok(count)
    })?;
    println!("{count}");
    Ok(())
}

async fn repeat(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    resumed: bool,
    end: Instant,
) -> Result<u64> {
    let mut count = 0;
    while Instant::now() < end {
        let stream = client::connect(address, &config).await?;
        let kind = stream
            .get_ref()
            .1
            .handshake_kind()
            .context("no handshake")?;
        if (kind == HandshakeKind::Resumed) != resumed {
            bail!("handshake {} of a client is {kind:?}", count + 1);
        }
        client::close(stream).await;
        count += 1;
    }
    Ok(count)
}

/// The tickets that no client has offered yet. TLS 1.3 wants each offered once
/// (RFC 8446, appendix C.4), and every handshake brings at least one.
#[derive(Debug, Default)]
struct Tickets {
    stock: Mutex<VecDeque<Tls13ClientSessionValue>>,
    /// Whether they are; else they are only gathered.
    offered: AtomicBool,
}

/// Most tickets that are kept.
const KEPT: usize = 64;

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        if let Ok(mut tickets) = self.stock.lock() {
            tickets.push_back(ticket);
            if tickets.len() > KEPT {
                tickets.pop_front();
            }
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        match self.offered.load(Ordering::Relaxed) {
            true => self.stock.lock().ok()?.pop_front(),
            false => None,
        }
    }
}
