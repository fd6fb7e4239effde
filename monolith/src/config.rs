//! The configuration: the flags, and the files that they name, parsed. All of it
//! is checked before a port is bound.

use crate::flags::{Flags, LogFormat};
use crate::users::{Users, UsersError};
use pod::cgroup::{Cgroups, Followed};
use pod::small_file;
use pod::watch::Watch;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In bytes: a key must be at least as long as the hash (RFC 7518, section 3.2).
const RECOMMENDED_KEY_LENGTH: usize = 32;
/// What the process needs besides connections, in bytes: its code, a full queue of
/// logins, a margin. `bench/monolith-limits` measures this and the next.
const BASE_MEMORY: u64 = 5 << 20;
/// What one connection needs at most, in bytes: with the longest header, half sent.
const CONNECTION_MEMORY: u64 = 16 << 10;
/// File descriptors reserved for all but connections of the service.
const OTHER_FILES: u64 = 64;

/// The parsed configuration.
#[derive(Debug)]
pub struct Config {
    /// Address of the service.
    pub http: SocketAddr,
    /// Address of probes and metrics.
    pub health: SocketAddr,
    /// The key that signs tokens, and its file.
    pub secret: Secret,
    /// Who may log in.
    pub users: Users,
    /// The file of the users, if there is one.
    pub users_file: Option<WatchedFile>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// How the access log is written.
    pub log_format: LogFormat,
    /// Connections of the service that may be open at once.
    pub max_connections: u32,
    /// The cgroup limits that `max_connections` follows; None if it was set by a flag.
    pub limits: Option<Followed>,
    /// How long the drain may take, from the first stop signal.
    pub shutdown_budget: Duration,
    /// Whether to serve until the proxy of the pod has ended.
    pub leave_last: bool,
    /// Whether a request can make the probes fail.
    pub faults: bool,
    /// Threads for requests, and for bcrypt.
    pub workers: usize,
}

/// The key that signs tokens.
pub struct Secret {
    /// The key itself.
    pub key: Vec<u8>,
    /// The file that it was read from, if any.
    pub file: Option<WatchedFile>,
}

/// A file that is reloaded when it changes.
#[derive(Debug)]
pub struct WatchedFile {
    /// Its path as given.
    pub path: PathBuf,
    /// Created before the file is first read, so that no change is missed.
    pub watch: Watch,
}

/// Why the configuration was rejected, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file named by a flag cannot be read.
    #[error("cannot read {}, named by {flag}", path.display())]
    Read {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key has no bytes.
    #[error(
        "{origin} is empty: give a key, preferably 32 random bytes, or omit both --secret and --secret-file for a random one"
    )]
    EmptySecret {
        /// The flag or the file.
        origin: String,
    },
    /// The users file is invalid.
    #[error("invalid users file")]
    Users(#[from] UsersError),
    /// The system has no random bytes.
    #[error("cannot generate a random key; give one with --secret-file")]
    Random(#[source] getrandom::Error),
}

impl Config {
    /// Reads the files that the flags name, and warns of a weak key.
    ///
    /// # Errors
    /// When a file cannot be read or is invalid, or the secret is empty.
    pub fn load(flags: Flags) -> Result<Self, ConfigError> {
        let secret = Secret::load(flags.secret, flags.secret_file)?;
        let users_file = flags.users_file.map(WatchedFile::new);
        let users = match &users_file {
            Some(file) => read_users(&file.path, Duration::MAX)?,
            None => Users::built_in(),
        };
        let limits = Cgroups::of_this_process().follow();
        let default_max = max_connections_within(limits.limits().memory);
        Ok(Self {
            http: flags.http,
            health: flags.health,
            secret,
            users,
            users_file: users_file.and_then(WatchedFile::unless_pipe),
            token_lifetime: flags.token_lifetime,
            log_format: flags.log_format,
            max_connections: flags.max_connections.map_or(default_max, u32::from),
            limits: flags.max_connections.is_none().then_some(limits),
            shutdown_budget: flags.shutdown_budget,
            leave_last: flags.leave_last,
            faults: !flags.no_faults,
            workers: pod::cgroup::cpu_workers().get(),
        })
    }
}

impl Secret {
    fn load(key: Option<String>, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        if let Some(file) = file.map(WatchedFile::new) {
            let key = read_secret(&file.path, Duration::MAX)?;
            return Ok(Self {
                key,
                file: file.unless_pipe(),
            });
        }
        if let Some(key) = key {
            let key = check_secret(key.into_bytes(), || "--secret".to_owned())?;
            return Ok(Self { key, file: None });
        }
        let mut key = vec![0; RECOMMENDED_KEY_LENGTH];
        getrandom::fill(&mut key).map_err(ConfigError::Random)?;
        tracing::warn!(
            "no secret given: using a random key; its tokens are invalid after a restart"
        );
        Ok(Self { key, file: None })
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl WatchedFile {
    fn new(path: PathBuf) -> Self {
        Self {
            watch: Watch::new(vec![path.clone()]),
            path,
        }
    }

    /// A pipe changes when it is written to, and has nothing more once it was read.
    fn unless_pipe(self) -> Option<Self> {
        (!small_file::is_pipe(&self.path)).then_some(self)
    }
}

/// Reads a signing key, without one line end at its end. A pipe is waited for no longer than
/// `patience`.
pub(crate) fn read_secret(path: &Path, patience: Duration) -> Result<Vec<u8>, ConfigError> {
    let mut key = read("--secret-file", path, patience)?;
    if key.last() == Some(&b'\n') {
        key.pop();
        if key.last() == Some(&b'\r') {
            key.pop();
        }
    }
    check_secret(key, || path.display().to_string())
}

/// Reads a file of users.
pub(crate) fn read_users(path: &Path, patience: Duration) -> Result<Users, ConfigError> {
    Ok(Users::parse(path, &read("--users-file", path, patience)?)?)
}

fn read(flag: &'static str, path: &Path, patience: Duration) -> Result<Vec<u8>, ConfigError> {
    let content = small_file::read(path, small_file::LARGEST_SECRET, patience);
    content.map_err(|source| ConfigError::Read {
        flag,
        path: path.into(),
        source,
    })
}

fn check_secret(key: Vec<u8>, origin: impl Fn() -> String) -> Result<Vec<u8>, ConfigError> {
    if key.is_empty() {
        return Err(ConfigError::EmptySecret { origin: origin() });
    }
    if key.len() < RECOMMENDED_KEY_LENGTH {
        tracing::warn!(
            bytes = key.len(),
            "{} is short and can be guessed from a token; HS256 needs {RECOMMENDED_KEY_LENGTH} random bytes",
            origin(),
        );
    }
    Ok(key)
}

/// How many connections fit into the memory limit, in bytes, and the limit on open
/// files.
pub(crate) fn max_connections_within(memory: Option<u64>) -> u32 {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    max_connections_for(memory, files)
}

fn max_connections_for(memory: Option<u64>, files: Option<u64>) -> u32 {
    let by_memory = memory.map_or(u64::MAX, |limit| {
        limit.saturating_sub(BASE_MEMORY) / CONNECTION_MEMORY
    });
    let by_files = files.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    u32::try_from(by_memory.min(by_files).clamp(16, 65_536)).unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_fit_the_smaller_limit() {
        assert_eq!(max_connections_for(Some(10 << 20), Some(1 << 20)), 320);
        assert_eq!(max_connections_for(None, Some(1024)), 960);
        assert_eq!(max_connections_for(None, None), 65_536);
        assert_eq!(max_connections_for(Some(1 << 20), Some(1024)), 16);
    }

    #[test]
    fn an_empty_secret_says_what_to_do() {
        let error = Secret::load(Some(String::new()), None)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("--secret is empty"), "{error}");
    }

    #[test]
    fn two_random_keys_differ() {
        let keys = [(); 2].map(|()| Secret::load(None, None).unwrap().key);
        assert_eq!(keys[0].len(), 32);
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn one_trailing_line_end_is_not_part_of_the_key() {
        let path = std::env::temp_dir().join(format!("monolith-key-{}", std::process::id()));
        for (text, key) in [("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n"), ("k", "k")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_secret(&path, Duration::ZERO).unwrap(), key.as_bytes());
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(
            read_secret(&path, Duration::ZERO)
                .unwrap_err()
                .to_string()
                .contains("is empty")
        );
    }

    #[test]
    fn a_missing_file_is_named_with_its_flag() {
        let error = read_secret(Path::new("/nonexistent/key"), Duration::ZERO).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read /nonexistent/key, named by --secret-file"
        );
    }

    #[test]
    fn the_key_is_not_in_the_debug_output() {
        let secret = Secret {
            key: b"hunter2".to_vec(),
            file: None,
        };
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
