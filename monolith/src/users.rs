//! Who may log in: the built-in user, or a file as `htpasswd -B` writes it.
//!
//! Only the file's form is known here; the hashing is `password`'s part.

use bcrypt::HashParts;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

/// `password` at cost 10, htpasswd's and Go's default.
const BUILT_IN: &str = "user:$2y$10$QYAcpKQ31TUz6iGDCBlQy.o5KT1NrTajqsa9BKnPYR0bATLZVhzoW";

/// bcrypt doubles its work with each step; at 15 one login takes seconds of CPU.
const COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// The users and their hashes.
#[derive(Debug)]
pub struct Users {
    hashes: HashMap<String, String>,
    /// The hashes again, to draw one for an unknown user.
    drawn: Vec<String>,
    lot: RandomState,
}

/// What a password is to be checked against.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The hash to check; somebody's, even if the user is unknown.
    pub(crate) hash: String,
    /// Whether the hash is this user's own.
    pub(crate) known: bool,
}

/// What is wrong with a users file, and where.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// A line that is not `name:hash`.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to write instead; it never quotes the line.
        problem: String,
    },
    /// A file without a user.
    #[error("{} has no user: add one with `htpasswd -B {} NAME`", path.display(), path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Users {
    /// The one user of the walkthrough: `user`, `password`.
    pub fn built_in() -> Self {
        let (name, hash) = BUILT_IN.split_once(':').unwrap_or_default();
        Self::new(HashMap::from([(name.to_owned(), hash.to_owned())]))
    }

    /// Understands the content of a file: `name:hash` on each line, empty lines
    /// and lines that begin with `#` left out.
    ///
    /// # Errors
    /// The first line that is not understood.
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
                    "names a user for the second time; keep one of the lines".into(),
                ));
            }
        }
        if hashes.is_empty() {
            return Err(UsersError::Empty { path: path.into() });
        }
        Ok(Self::new(hashes))
    }

    fn new(hashes: HashMap<String, String>) -> Self {
        let drawn = hashes.values().cloned().collect();
        Self {
            hashes,
            drawn,
            lot: RandomState::new(),
        }
    }

    /// How many users there are.
    pub(crate) fn count(&self) -> usize {
        self.drawn.len()
    }

    /// What to check the password of `name` against. An unknown name draws the
    /// hash of somebody, always the same one, so that the time an answer takes
    /// does not tell which names exist, whatever their costs are.
    pub(crate) fn candidate(&self, name: &str) -> Candidate {
        match self.hashes.get(name) {
            Some(hash) => Candidate {
                hash: hash.clone(),
                known: true,
            },
            None => {
                let lot = self.lot.hash_one(name) % self.drawn.len() as u64;
                Candidate {
                    hash: self.drawn[lot as usize].clone(),
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
            .map_err(|error| format!("has a damaged bcrypt hash: {error}"))?,
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
    fn every_prefix_htpasswd_and_its_kin_write_is_read() {
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
    fn an_unknown_user_draws_the_same_lot_each_time() {
        let other = HASH.replace("$04$", "$05$");
        let users = parse(&format!("ann:{HASH}\nbob:{other}\n")).unwrap();
        assert_eq!(users.candidate("eve").hash, users.candidate("eve").hash);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_never_quoted() {
        for (content, expected) in [
            ("ann:plain", "users:1: is not a bcrypt hash"),
            ("\n# x\nann", "users:3: is not name:hash"),
            (":x", "users:1: has no name"),
            ("ann:$2y$10$short", "users:1: has a damaged bcrypt hash"),
            ("ann:$apr1$x", "users:1: is not a bcrypt hash"),
            ("ann:é", "users:1: is not a bcrypt hash"),
        ] {
            let error = parse(content).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("plain"), "{error}");
        }
        let twice = parse(&format!("ann:{HASH}\nann:{HASH}\n")).unwrap_err();
        assert!(
            twice.starts_with("users:2: names a user for the second time"),
            "{twice}"
        );
        let dear = parse(&format!("ann:{}\n", HASH.replace("$04$", "$31$"))).unwrap_err();
        assert!(dear.contains("has cost 31; use 4 to 15"), "{dear}");
    }

    #[test]
    fn a_file_without_users_is_a_mistake() {
        assert!(parse("# nobody\n").unwrap_err().contains("has no user"));
    }
}
