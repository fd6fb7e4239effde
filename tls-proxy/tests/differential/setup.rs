//! What comes before and after the requests of a case: its directory, `-t`, and the logs.

use super::bytes::unescape;
use super::case::Case;
use super::program::Program;
use super::sandbox::Sandbox;
use super::transcript::Transcript;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An error without a line: nginx has some, and then any line is accepted.
pub(crate) const NO_LINE: &str = "  refused, no line";

/// Runs `-t`; of the errors the line of the first one is compared.
pub(crate) fn check(
    program: &Program,
    case: &Case,
    sandbox: &Sandbox,
    transcript: &mut Transcript,
) -> Result<(), String> {
    let check = program.check(case, sandbox)?;
    transcript.push(match (check.accepted, check.line) {
        (true, _) => "  accepted".to_owned(),
        (false, Some(line)) => format!("  refused, line {line}"),
        (false, None) => NO_LINE.to_owned(),
    });
    transcript.messages.push(check.output);
    Ok(())
}

/// Writes the configuration and the files of a case into its empty directory.
pub(crate) fn prepare(case: &Case, sandbox: &Sandbox) -> std::io::Result<()> {
    let _ = std::fs::remove_dir_all(&sandbox.folder);
    std::fs::create_dir_all(sandbox.root())?;
    let configuration = sandbox.fill(&case.configuration);
    let text = if case.whole {
        configuration
    } else {
        format!("{}{configuration}}}\n", sandbox.fill(MAIN))
    };
    std::fs::write(sandbox.folder.join("case.conf"), text)?;
    // Fixed, so that Last-Modified and ETag are the same under both programs.
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (name, text) in &case.files {
        let path = sandbox.folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let text = unescape(&sandbox.fill(text), "\n").unwrap_or_default();
        std::fs::write(&path, text)?;
        std::fs::File::options()
            .append(true)
            .open(&path)?
            .set_modified(modified)?;
    }
    // Directories, too, once they are complete (`autoindex`).
    for (name, _) in &case.files {
        let path = sandbox.folder.join(name);
        let inside = |folder: &&Path| *folder != sandbox.folder;
        for folder in path.ancestors().skip(1).take_while(inside) {
            std::fs::File::open(folder)?.set_modified(modified)?;
        }
    }
    Ok(())
}

/// The main part of every configuration that is not `whole`; its closing brace follows.
const MAIN: &str = "\
worker_processes 1;
error_log %PREFIX%/error.log info;
pid %PREFIX%/nginx.pid;
events { worker_connections 256; }
http {
access_log %PREFIX%/access.log;
client_body_temp_path %PREFIX%/client-body;
proxy_temp_path %PREFIX%/proxy-temp;
";

/// The access logs line by line, and of the error log the most severe level.
pub(crate) fn read_logs(transcript: &mut Transcript, sandbox: &Sandbox) {
    let mut names: Vec<_> = std::fs::read_dir(&sandbox.folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with("access.log"))
        .collect();
    names.sort();
    for name in names {
        let bytes = std::fs::read(sandbox.folder.join(&name)).unwrap_or_default();
        for line in String::from_utf8_lossy(&bytes).lines() {
            transcript.push_log(&name, line);
        }
    }
    let errors = std::fs::read(sandbox.folder.join("error.log")).unwrap_or_default();
    let errors = String::from_utf8_lossy(&errors);
    // Not compared: whether a body is buffered in a file, what OpenSSL has left in its error
    // queue, and lines that only differ from an older nginx's.
    let passed_over = |line: &&str| {
        line.contains("is buffered to a temporary file")
            || line.contains("ignoring stale global SSL error")
            || line.contains("\"listen ... http2\" directive is deprecated")
    };
    let errors = errors
        .lines()
        .filter(|line| !passed_over(line))
        .collect::<Vec<_>>()
        .join("\n");
    let levels = ["emerg", "alert", "crit", "error", "warn"];
    let worst = levels
        .iter()
        .find(|level| errors.contains(&format!("[{level}] ")));
    transcript.push(format!(
        "error log: {}",
        worst.unwrap_or(&"nothing from warn upwards")
    ));
}
