//! A directory and a loopback address for one test alone: tests run concurrently, and a
//! port that was free a moment ago may not be.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// Ports of a place; its address makes them its own.
pub(crate) const PLAIN: u16 = 8080;
pub(crate) const TLS: u16 = 8443;
const UPSTREAM: u16 = 9000;
/// The port whose socket claims the address.
const CLAIM: u16 = 4000;

static PLACES: AtomicU8 = AtomicU8::new(1);

/// The directory and the address of one test.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    address: IpAddr,
    /// Reserves the address, also against tests of other processes.
    _claim: UdpSocket,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        super::raise_file_limit();
        let pid = std::process::id();
        let [.., high, low] = pid.to_be_bytes();
        let (number, address, claim) = loop {
            let number = PLACES.fetch_add(1, Ordering::Relaxed);
            // Addresses that no place has are for tests of what nobody listens at.
            if matches!(number, 0 | u8::MAX) {
                continue;
            }
            // 127.0.x.y is left to others.
            let address = Ipv4Addr::new(127, high | 1, low, number);
            if let Ok(claim) = UdpSocket::bind((address, CLAIM)) {
                break (number, address, claim);
            }
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{pid}-{number}"));
        fs::create_dir_all(&folder).unwrap();
        Self {
            folder,
            address: address.into(),
            _claim: claim,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    pub(crate) fn upstream(&self) -> SocketAddr {
        self.address(UPSTREAM)
    }

    /// Writes a file, with `{…}` replaced, and returns its path. Who reads it meanwhile gets all
    /// of it or what was there before.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, draft) = (self.path(name), self.path(".draft"));
        fs::write(&draft, self.fill(text)).unwrap();
        fs::rename(draft, &path).unwrap();
        path
    }

    /// The text of a file that another process writes; empty if there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read(self.path(name)).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Replaces the place's own names in a configuration: `{plain}`,
    /// `{tls}`, `{upstream}`, `{ip}` or `{folder}`.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("{plain}", &self.address(PLAIN).to_string())
            .replace("{tls}", &self.address(TLS).to_string())
            .replace("{upstream}", &self.upstream().to_string())
            .replace("{ip}", &self.address.to_string())
            .replace("{folder}", &self.folder.display().to_string())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
