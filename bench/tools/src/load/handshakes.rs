//! Handshakes without requests, like `openssl s_time`, which cannot resume TLS 1.3.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, Error, HandshakeKind, NamedGroup};

use super::client;

/// Concurrent clients, so that the server never waits for one.
const AT_ONCE: usize = 8;

/// The group that is offered for the key exchange, by the name it has in TLS.
///
/// # Errors
/// When the client has no such group.
pub fn group(name: &str) -> Result<&'static dyn SupportedKxGroup> {
    match name {
        "X25519" => Ok(kx_group::X25519),
        "X25519MLKEM768" => Ok(kx_group::X25519MLKEM768),
        other => bail!("{other} is no group of this client"),
    }
}

/// Prints how many handshakes there were within `seconds`, or `unsupported` when the
/// server does not support the group.
///
/// # Errors
/// When one fails, or is resumed although it should not be, or not although it should.
pub fn run(
    address: SocketAddr,
    resumed: bool,
    group: &'static dyn SupportedKxGroup,
    seconds: f64,
) -> Result<()> {
    let tickets = Arc::new(Tickets::default());
    let config = Arc::new(client::offer(group, Resumption::store(tickets.clone()))?);
    let runtime = super::runtime()?;
    if !runtime.block_on(is_supported(address, &config))? {
        println!("unsupported");
        return Ok(());
    }
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

/// Whether the server agrees to the group, the only one offered: else it refuses with
/// the alert `handshake_failure` (RFC 8446, section 4.1.1).
async fn is_supported(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<bool> {
    let error = match client::connect(address, config).await {
        Ok(stream) => {
            client::close(stream).await;
            return Ok(true);
        }
        Err(error) => error,
    };
    let refused = Error::AlertReceived(AlertDescription::HandshakeFailure);
    let tls = error
        .downcast_ref::<std::io::Error>()
        .and_then(|error| error.get_ref()?.downcast_ref::<Error>());
    match tls == Some(&refused) {
        true => Ok(false),
        false => Err(error),
    }
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
