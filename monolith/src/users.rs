//! The users: the built-in one, or a file as `htpasswd -B` writes it.
//!
//! This module parses the file; `password_checker` verifies passwords.

use bcrypt::HashParts;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

/// `password` at cost 10, htpasswd's and Go's default.
const BUILT_IN: &str = "user:$2y$10$QYAcpKQ31TUz6iGDCBlQy.o5KT1NrTajqsa9BKnPYR0bATLZVhzoW";

/// Each step doubles the work of bcrypt; at 15 a login takes seconds of CPU time.
const COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// The users and their hashes.
#[derive(Debug)]
pub struct Users {
    hashes: HashMap<String, String>,
    /// The hashes again: an unknown user gets one of them.
    decoys: Vec<String>,
    /// Selects the decoy of a name.
    hasher: RandomState,
}

/// The hash that a password is checked against.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The user's hash, or a decoy if the user is unknown.
    pub(crate) hash: String,
    /// Whether the hash is this user's own.
    pub(crate) known: bool,
}

/// Why a users file was rejected, and where.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// An invalid line.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to write instead, without quoting the line.
        problem: String,
    },
    /// A file without users.
    #[error("{} has no user: add one with `htpasswd -B {} NAME`", path.display(), path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Users {
    /// The walkthrough's user: `user` with the password `password`.
    pub fn built_in() -> Self {
        let (name, hash) = BUILT_IN.split_once(':').unwrap_or_default();
        Self::new(HashMap::from([(name.to_owned(), hash.to_owned())]))
    }

    /// Parses a file: `name:hash` on each line; empty lines and lines that begin
    /// with `#` are ignored. `path` is for messages.
    ///
    /// # Errors
    /// The first invalid line, or that there is no user.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, UsersError> {
        let mut hashes = HashMap::new();
        for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
            let fail = |problem| UsersError::Line {
                path: path.into(),
                line: index + 1,
                problem,
            };
            let line = std::str::from_utf8(line)
                .map_err(|_| fail("is not UTF-8".into()))?
                .trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = parse_line(line).map_err(fail)?;
            if hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
                return Err(fail(
                    "names a user that an earlier line has; remove one of them".into(),
                ));
            }
        }
        if hashes.is_empty() {
            return Err(UsersError::Empty { path: path.into() });
        }
        Ok(Self::new(hashes))
    }

    fn new(hashes: HashMap<String, String>) -> Self {
        let decoys = hashes.values().cloned().collect();
        Self {
            hashes,
            decoys,
            hasher: RandomState::new(),
        }
    }

    /// The number of users.
    pub(crate) fn count(&self) -> usize {
        self.decoys.len()
    }

    /// What to check the password of `name` against. An unknown name gets another
    /// user's hash, always the same one, so that the response time does not reveal
    /// which names exist, even if costs differ.
    pub(crate) fn candidate(&self, name: &str) -> Candidate {
        match self.hashes.get(name) {
            Some(hash) => Candidate {
                hash: hash.clone(),
                known: true,
            },
            None => {
                let decoy = self.hasher.hash_one(name) % self.decoys.len() as u64;
                Candidate {
                    hash: self.decoys[decoy as usize].clone(),
                    known: false,
                }
            }
        }
    }
}

fn parse_line(line: &str) -> Result<(&str, &str), String> {
    let (name, hash) = line
        .split_once(':')
        .ok_or("is not name:hash; write it with htpasswd -B")?;
    if name.is_empty() {
        return Err("has no name before the colon".into());
    }
    let parts: HashParts = match &hash.get(..4) {
        Some("$2a$" | "$2b$" | "$2y$") => hash
            .parse()
            .map_err(|error| format!("has an invalid bcrypt hash: {error}"))?,
        _ => {
            return Err(
                "is not a bcrypt hash ($2y$, $2a$, $2b$); write it with htpasswd -B".into(),
            );
        }
    };
    if !COSTS.contains(&parts.get_cost()) {
        let (least, most) = (COSTS.start(), COSTS.end());
        return Err(format!(
            "has cost {}; use {least} to {most} (htpasswd -B -C 10)",
            parts.get_cost()
        ));
    }
    Ok((name, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$180o4rKjFr2vU.ZvJOJROer2RInNlKBh4ivtGBYAmFEBS.oaNlSFW";

    fn parse(content: &str) -> Result<Users, String> {
        Users::parse(Path::new("users"), content.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_built_in_user_has_the_documented_password() {
        let candidate = Users::built_in().candidate("user");
        assert!(candidate.known);
        assert!(bcrypt::verify("password", &candidate.hash).unwrap());
        assert_eq!(candidate.hash.parse::<HashParts>().unwrap().get_cost(), 10);
    }

    #[test]
    fn every_bcrypt_prefix_is_accepted() {
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = HASH.replace("$2y$", prefix);
            assert!(
                parse(&format!("# staff\n\nann:{hash}\r\n"))
                    .unwrap()
                    .candidate("ann")
                    .known
            );
        }
    }

    #[test]
    fn an_unknown_user_costs_what_a_known_one_costs() {
        let users = parse(&format!("ann:{HASH}\n")).unwrap();
        let candidate = users.candidate("eve");
        assert!(!candidate.known);
        assert_eq!(candidate.hash, HASH);
    }

    #[test]
    fn an_unknown_user_gets_the_same_decoy_each_time() {
        let other = HASH.replace("$04$", "$05$");
        let users = parse(&format!("ann:{HASH}\nbob:{other}\n")).unwrap();
        assert_eq!(users.candidate("eve").hash, users.candidate("eve").hash);
    }

    #[test]
    fn an_error_names_its_line_and_does_not_quote_it() {
        for (content, expected) in [
            ("ann:plain", "users:1: is not a bcrypt hash"),
            ("\n# x\nann", "users:3: is not name:hash"),
            (":x", "users:1: has no name"),
            ("ann:$2y$10$short", "users:1: has an invalid bcrypt hash"),
            ("ann:$apr1$x", "users:1: is not a bcrypt hash"),
            ("ann:é", "users:1: is not a bcrypt hash"),
        ] {
            let error = parse(content).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("plain"), "{error}");
        }
        let twice = parse(&format!("ann:{HASH}\nann:{HASH}\n")).unwrap_err();
        assert!(
            twice.starts_with("users:2: names a user that an earlier line has"),
            "{twice}"
        );
        let expensive = parse(&format!("ann:{}\n", HASH.replace("$04$", "$31$"))).unwrap_err();
        assert!(
            expensive.contains("has cost 31; use 4 to 15"),
            "{expensive}"
        );
    }

    #[test]
    fn a_file_without_users_is_an_error() {
        assert!(parse("# nobody\n").unwrap_err().contains("has no user"));
    }
}
