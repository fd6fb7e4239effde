//! The nginx to compare with: where it is, and the message if there is none.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// `NGINX_ORACLE`, or what scripts/install-test-tools has put under target/. Without either it
/// prints that `what` is not tested, and the test should pass: so does a fresh clone.
pub(crate) fn find_or_skip(what: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("NGINX_ORACLE") {
        return Some(named.into());
    }
    let installed = tools().join("nginx-1.31");
    if installed.exists() {
        return Some(installed);
    }
    let notice = format!(
        "\nSKIPPED: {what}: no nginx 1.31 to compare with.\n\
         SKIPPED: scripts/install-test-tools installs it; NGINX_ORACLE names another.\n\n"
    );
    // Not with a macro, whose output the harness captures unless a test fails.
    let _ = std::io::stderr().write_all(notice.as_bytes());
    None
}

/// Where scripts/install-test-tools puts what it installs.
pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools")
}
