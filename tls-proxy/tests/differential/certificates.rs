//! The certificates of a run, made by openssl: servers, a client authority and its clients.

use std::path::Path;
use std::process::Command;

/// Writes every file that a case can name: `%CERT%`, `%KEY%` and what lies in `%TLS%`.
pub(crate) fn make(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    authority(folder, "ca", "/CN=Test CA")?;
    authority(folder, "other-ca", "/CN=Another CA")?;
    signed(
        folder,
        "server",
        "ca",
        "/CN=localhost",
        "DNS:localhost,DNS:*.example.com,IP:127.0.0.1",
    )?;
    signed(
        folder,
        "alpha",
        "ca",
        "/CN=alpha.example",
        "DNS:alpha.example",
    )?;
    signed(folder, "beta", "ca", "/CN=beta.example", "DNS:beta.example")?;
    signed(
        folder,
        "client",
        "ca",
        "/C=DE/O=Clients/CN=client one",
        "DNS:client.example",
    )?;
    signed(
        folder,
        "stranger",
        "other-ca",
        "/CN=stranger",
        "DNS:stranger.example",
    )?;
    signed(
        folder,
        "revoked",
        "ca",
        "/CN=revoked",
        "DNS:revoked.example",
    )?;
    self_signed(folder, "rsa", &["rsa:2048"])?;
    revoke(folder)?;
    other_key_forms(folder)
}

fn authority(folder: &Path, name: &str, subject: &str) -> Result<(), String> {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -keyout {name}.key -out {name}.pem -addext basicConstraints=critical,CA:TRUE \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        ),
        &["-subj", subject],
    )
}

fn self_signed(folder: &Path, name: &str, kind: &[&str]) -> Result<(), String> {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey {} -nodes -days 30 -keyout {name}.key -out {name}.pem",
            kind[0]
        ),
        &[
            "-subj",
            "/CN=rsa.example",
            "-addext",
            "subjectAltName=DNS:rsa.example",
        ],
    )
}

fn signed(folder: &Path, name: &str, ca: &str, subject: &str, names: &str) -> Result<(), String> {
    openssl(
        folder,
        &format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
             -keyout {name}.key -out {name}.csr"
        ),
        &["-subj", subject],
    )?;
    let extensions = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n");
    std::fs::write(folder.join(format!("{name}.ext")), extensions).map_err(|e| e.to_string())?;
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial \
             -days 30 -extfile {name}.ext -out {name}.pem"
        ),
        &[],
    )
}

fn revoke(folder: &Path) -> Result<(), String> {
    let configuration = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\n\
                         default_crl_days=30\ncrlnumber=crlnumber\n";
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
    write("ca.cnf", configuration).map_err(|error| error.to_string())?;
    write("index.txt", "").map_err(|error| error.to_string())?;
    write("crlnumber", "01\n").map_err(|error| error.to_string())?;
    openssl(
        folder,
        "ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke revoked.pem",
        &[],
    )?;
    openssl(
        folder,
        "ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out ca.crl",
        &[],
    )
}

/// PKCS#1, SEC1 and encrypted forms of keys, a chain, and a certificate of version 1.
fn other_key_forms(folder: &Path) -> Result<(), String> {
    openssl(
        folder,
        "rsa -in rsa.key -traditional -out rsa-pkcs1.key",
        &[],
    )?;
    openssl(folder, "ec -in server.key -out server-sec1.key", &[])?;
    openssl(
        folder,
        "pkcs8 -topk8 -in server.key -passout pass:secret -out server-encrypted.key",
        &[],
    )?;
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 30 -out v1.pem",
        &[],
    )?;
    openssl(folder, "rand -out ticket.key 80", &[])?;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|e| e.to_string());
    let chain = read("server.pem")? + &read("ca.pem")?;
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
    write("chain.pem", &chain).map_err(|error| error.to_string())?;
    write("password", "wrong\nsecret\n").map_err(|error| error.to_string())
}

fn openssl(folder: &Path, words: &str, more: &[&str]) -> Result<(), String> {
    let mut command = Command::new("openssl");
    command
        .current_dir(folder)
        .args(words.split_whitespace())
        .args(more);
    let output = command
        .output()
        .map_err(|error| format!("openssl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "openssl {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
