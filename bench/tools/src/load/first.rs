//! The first response of a program that is starting.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustls::ClientConnection;
use rustls::client::Resumption;

use super::client;

/// Between two tries.
const PAUSE: Duration = Duration::from_micros(200);
/// The time-out of all tries together.
const PATIENCE: Duration = Duration::from_secs(20);

/// Prints `waiting`, and `answered` after the first correct response.
///
/// # Errors
/// When none comes within 20 seconds.
pub fn wait(address: SocketAddr) -> Result<()> {
    let config = client::config(Resumption::disabled())?;
    let begun = Instant::now();
    println!("waiting");
    loop {
        match try_once(address, &config) {
            Ok(()) => break,
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    println!("answered");
    Ok(())
}

fn try_once(address: SocketAddr, config: &std::sync::Arc<rustls::ClientConfig>) -> Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.set_nodelay(true)?;
    let mut tls = ClientConnection::new(config.clone(), client::name()?)?;
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(&client::request("/"))?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            bail!("closed without an answer");
        }
        answer.extend_from_slice(&piece[..read]);
        if client::is_whole(&answer)? {
            return Ok(());
        }
    }
}
