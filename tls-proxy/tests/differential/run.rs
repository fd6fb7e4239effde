//! Runs many cases: which programs are compared, several at once, and the results.

use super::case::Case;
use super::certificates;
use super::delimited::Fault;
use super::oracle;
use super::program::Program;
use super::runner;
use super::sandbox::Sandbox;
use super::setup;
use super::transcript::{Transcript, difference, has_no_more_pieces};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Most cases wait more than they compute.
const AT_ONCE: usize = 6;

/// A case by name, as the command line and messages name it, with its text.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The result of one case.
enum Outcome {
    Agree,
    /// The transcripts differ, and the case names the reason.
    OnPurpose,
    /// The program that the case needs is not installed.
    Skipped,
    Failed(String),
}

/// What all cases share.
pub(crate) struct Run {
    oracle: Program,
    /// Debian's nginx, for modules that the newer build lacks.
    system: Option<Program>,
    subject: Program,
    pub(crate) folder: PathBuf,
    certificates: PathBuf,
    differences: String,
    show: bool,
}

impl Run {
    pub(crate) fn prepare(oracle: &Path, show: bool) -> Result<Self, String> {
        let oracle = Program::find(oracle).ok_or("the nginx to compare with does not run")?;
        let subject = std::env::var_os("NGINX_SUBJECT").map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_tls-proxy")),
            PathBuf::from,
        );
        let subject = Program::find(&subject).ok_or("the program under test does not run")?;
        let folder = std::env::temp_dir().join(format!("differential-{}", std::process::id()));
        let certificates = folder.join("tls");
        certificates::make(&certificates)?;
        let differences = home().join("../../../docs/differences.md");
        println!(
            "differential: {} against {}",
            subject.version, oracle.version
        );
        Ok(Self {
            oracle,
            system: find_system(),
            subject,
            folder,
            certificates,
            differences: std::fs::read_to_string(differences).unwrap_or_default(),
            show,
        })
    }

    /// Runs every case and counts the outcomes, in the order of `Outcome`.
    pub(crate) fn all(&self, cases: VecDeque<Named>) -> [usize; 4] {
        let (queue, counts) = (Mutex::new(cases), Mutex::new([0; 4]));
        let work = || {
            loop {
                let Some(Named { name, text }) = queue.lock().unwrap().pop_front() else {
                    return;
                };
                let outcome = self.one(&name, &text);
                let mut counts = counts.lock().unwrap();
                match outcome {
                    Outcome::Agree => counts[0] += 1,
                    Outcome::OnPurpose => counts[1] += 1,
                    Outcome::Skipped => counts[2] += 1,
                    Outcome::Failed(why) => {
                        counts[3] += 1;
                        println!("FAILED {name}\n{why}");
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            (0..AT_ONCE).for_each(|_| drop(scope.spawn(work)));
        });
        counts.into_inner().unwrap()
    }

    fn one(&self, name: &str, text: &str) -> Outcome {
        let case = match Case::parse(text) {
            Ok(case) => case,
            Err(error) => return Outcome::Failed(format!("  the case itself: {error}")),
        };
        let oracle = match case.oracle.as_deref() {
            Some("system") => self.system.as_ref().filter(|_| !self.subject.is_nginx),
            _ => Some(&self.oracle),
        };
        let Some(oracle) = oracle else {
            return Outcome::Skipped;
        };
        // Another program may have taken a port meanwhile.
        for _ in 0..3 {
            let outcome = self.attempt(name, &case, oracle);
            if !matches!(&outcome, Outcome::Failed(why) if why.contains("already in use")) {
                return outcome;
            }
        }
        Outcome::Failed("  no free ports".to_owned())
    }

    fn attempt(&self, name: &str, case: &Case, oracle: &Program) -> Outcome {
        let folder = self.folder.join(name.replace('/', "-"));
        let sandbox = Sandbox::take(&folder, &self.certificates);
        let expected = match runner::run(oracle, case, &sandbox) {
            Ok(transcript) => transcript,
            Err(error) => return Outcome::Failed(format!("  nginx: {error}")),
        };
        if self.show {
            show_transcript(name, &expected, &folder);
            return Outcome::Agree;
        }
        let seen = runner::run(&self.subject, case, &sandbox);
        let _ = std::fs::remove_dir_all(&folder);
        match seen {
            Ok(seen) => self.judge(case, &expected, &seen),
            Err(error) => Outcome::Failed(format!("  {error}")),
        }
    }

    fn judge(&self, case: &Case, oracle: &Transcript, subject: &Transcript) -> Outcome {
        // nginx under test may be as it is.
        if let Some(Fault(what)) = subject.faults.first().filter(|_| !self.subject.is_nginx) {
            return Outcome::Failed(format!("  a broken response: {what}"));
        }
        let expected = &oracle.lines;
        let mut seen = subject.lines.clone();
        for (seen, line) in seen.iter_mut().zip(expected) {
            let no_line = line == setup::NO_LINE && seen.starts_with("  refused, line ");
            if no_line || has_no_more_pieces(seen, line) {
                seen.clone_from(line);
            }
        }
        let seen = &seen;
        // nginx under test does not differ from itself on purpose.
        match case.differs.as_ref().filter(|_| !self.subject.is_nginx) {
            None if expected == seen => Outcome::Agree,
            None => Outcome::Failed(difference(expected, seen) + &subject.messages.concat()),
            Some(anchor) if !self.is_explained(anchor) => {
                Outcome::Failed(format!("  docs/differences.md has no heading for {anchor}"))
            }
            Some(_) if expected == seen => {
                Outcome::Failed("  listed as a difference, but it agrees".to_owned())
            }
            Some(_) => Outcome::OnPurpose,
        }
    }

    /// Whether docs/differences.md has a heading with this anchor, formed as GitHub forms it.
    fn is_explained(&self, anchor: &str) -> bool {
        let headings = self
            .differences
            .lines()
            .filter(|line| line.starts_with('#'));
        headings
            .map(|line| line.trim_start_matches('#').trim().to_lowercase())
            .map(|line| line.replace(' ', "-"))
            .map(|line| line.replace(|c: char| !c.is_alphanumeric() && !"-_".contains(c), ""))
            .any(|heading| heading == anchor)
    }
}

fn show_transcript(name: &str, transcript: &Transcript, folder: &Path) {
    let orders = transcript
        .orders
        .iter()
        .map(|order| format!("order: {order}"));
    let lines: Vec<_> = transcript.lines.iter().cloned().chain(orders).collect();
    let log = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
    let log: Vec<_> = log
        .lines()
        .filter(|line| !line.contains("[notice]"))
        .collect();
    let messages = transcript.messages.concat();
    println!(
        "== {name}\n{}\n{}\n{messages}",
        lines.join("\n"),
        log.join("\n")
    );
}

/// `NGINX_SYSTEM`, what scripts/install-test-tools has put under target/, or the machine's.
fn find_system() -> Option<Program> {
    if let Some(named) = std::env::var_os("NGINX_SYSTEM") {
        return Program::find(Path::new(&named));
    }
    let unpacked = oracle::tools().join("nginx-1.22/usr/sbin/nginx");
    Program::find(&unpacked).or_else(|| Program::find(Path::new("/usr/sbin/nginx")))
}

/// The folder of this test.
pub(crate) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

impl Named {
    /// The case in a file: `FOLDER/CASE`.
    pub(crate) fn read(path: &Path) -> Self {
        let name = path.strip_prefix(home().join("cases")).unwrap_or(path);
        Self {
            name: name.with_extension("").display().to_string(),
            text: std::fs::read_to_string(path).unwrap_or_default(),
        }
    }
}
