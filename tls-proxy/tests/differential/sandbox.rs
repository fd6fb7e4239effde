//! The sandbox of a case: its ports, its directory, and the placeholders for them.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// Servers of the configuration under test, scripted upstreams.
const SERVERS: usize = 5;
const UPSTREAMS: usize = 3;
const BLOCK: u16 = 10;
/// Below the range that the kernel takes ports for outgoing connections from.
const FIRST_BLOCK: u16 = 2_000;
const LAST_BLOCK: u16 = 3_200;

static NEXT_BLOCK: AtomicU16 = AtomicU16::new(0);

/// The ports and the directory of one case. Both programs use the same, one after the
/// other, so that ports and paths need no masking.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) folder: PathBuf,
    certificates: PathBuf,
    base: u16,
    /// Reserves the block, also against tests of other processes, since its ports are
    /// free between two programs.
    _claim: UdpSocket,
}

impl Sandbox {
    pub(crate) fn take(folder: &Path, certificates: &Path) -> Self {
        loop {
            let blocks = LAST_BLOCK - FIRST_BLOCK;
            // Another test run on the same machine starts at another block.
            let offset = (std::process::id() % u32::from(blocks)) as u16;
            let step = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed);
            let base = (FIRST_BLOCK + (offset + step) % blocks) * BLOCK;
            let Ok(claim) = UdpSocket::bind(("127.0.0.1", base + BLOCK - 1)) else {
                continue;
            };
            let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if (base..base + BLOCK).all(is_free) {
                let folder = folder.to_owned();
                return Self {
                    folder,
                    certificates: certificates.to_owned(),
                    base,
                    _claim: claim,
                };
            }
        }
    }

    /// The port that `%PORT_number%` stands for, from 1.
    pub(crate) fn server(&self, number: usize) -> u16 {
        self.base + number as u16 - 1
    }

    /// The port that `%UPSTREAM_number%` stands for, from 1.
    pub(crate) fn upstream(&self, number: usize) -> u16 {
        self.base + (SERVERS + number) as u16 - 1
    }

    pub(crate) fn upstream_socket(&self) -> PathBuf {
        self.folder.join("upstream.sock")
    }

    /// The directory of the certificates of the case's own clients.
    pub(crate) fn chains(&self) -> PathBuf {
        let case = self.folder.file_name().unwrap_or_default();
        self.certificates.join("chains").join(case)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Replaces every placeholder in `text`.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for number in 1..=SERVERS {
            text = text.replace(
                &format!("%PORT_{number}%"),
                &self.server(number).to_string(),
            );
        }
        for number in 1..=UPSTREAMS {
            let address = format!("127.0.0.1:{}", self.upstream(number));
            text = text.replace(&format!("%UPSTREAM_{number}%"), &address);
        }
        // Nobody listens on the block's last port.
        let dead = format!("127.0.0.1:{}", self.base + BLOCK - 1);
        let file = |name: &str| self.certificates.join(name).display().to_string();
        text.replace("%PORT%", &self.server(1).to_string())
            .replace("%UPSTREAM%", &format!("127.0.0.1:{}", self.upstream(1)))
            .replace(
                "%UPSTREAM_SOCKET%",
                &self.upstream_socket().display().to_string(),
            )
            .replace("%DEAD%", &dead)
            .replace("%ROOT%", &self.root().display().to_string())
            .replace("%PREFIX%", &self.folder.display().to_string())
            .replace("%CHAINS%", &self.chains().display().to_string())
            .replace("%CERT%", &file("server.pem"))
            .replace("%KEY%", &file("server.key"))
            .replace("%TLS%", &self.certificates.display().to_string())
    }
}
