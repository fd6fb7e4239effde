//! Writes `docs/directives.md` from the program's own tables.

fn main() -> std::io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/directives.md");
    std::fs::write(path, tls_proxy::directives())
}
