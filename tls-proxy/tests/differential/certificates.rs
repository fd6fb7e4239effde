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
    other_key_forms(folder)?;
    other_clients(folder)
}

/// Clients below an intermediate authority, out of date, of version 1, with odd names and other
/// kinds of keys; a server with an Ed25519 key; files that are nearly right.
fn other_clients(folder: &Path) -> Result<(), String> {
    let odd =
        "/C=DE/O=A, B+C \"D\"/OU=<x>;#y/L= edge /CN=J\u{fc}rgen \u{2713}/emailAddress=a@b.example";
    signed(folder, "odd", "ca", odd, "DNS:odd.example")?;
    signed(
        folder,
        "middle",
        "ca",
        "/CN=Middle CA",
        "DNS:middle.example",
    )?;
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
    std::fs::write(folder.join("middle.ext"), authority).map_err(|e| e.to_string())?;
    openssl(
        folder,
        "x509 -req -in middle.csr -CA ca.pem -CAkey ca.key -days 30 -extfile middle.ext -out middle.pem",
        &[],
    )?;
    signed(folder, "deep", "middle", "/CN=deep", "DNS:deep.example")?;
    let sign = |csr: &str, out: &str, more: &[&str]| {
        let words = format!("x509 -req -in {csr}.csr -CA ca.pem -CAkey ca.key -out {out}.pem");
        openssl(folder, &words, more)
    };
    sign("client", "client-v1", &["-days", "30"])?;
    sign("client", "expired", &["-days", "-1"])?;
    self_signed(folder, "client-rsa", &["rsa:2048"])?;
    self_signed(folder, "ed25519", &["ed25519"])?;
    openssl(folder, "rand -out ticket48.key 48", &[])?;
    openssl(folder, "rand -out ticket47.key 47", &[])?;
    openssl(
        folder,
        "x509 -in server.pem -outform DER -out server.der",
        &[],
    )?;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|e| e.to_string());
    let (server, key, ca) = (read("server.pem")?, read("server.key")?, read("ca.pem")?);
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).map_err(|error| error.to_string())
    };
    write(
        "deep-chain.pem",
        &(read("deep.pem")? + &read("middle.pem")?),
    )?;
    write(
        "garbage.pem",
        &format!("Bag Attributes\n  x: y\n{server}\ntrailing words\n"),
    )?;
    write("both.pem", &format!("{key}{server}{ca}"))?;
    write("reversed.pem", &format!("{ca}{server}"))?;
    write("crlf.pem", &server.replace('\n', "\r\n"))?;
    write("two-cas.pem", &format!("{ca}{}", read("other-ca.pem")?))?;
    write("broken.pem", &server.replace("MII", "!!!"))?;
    write("empty.pem", "")
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

pub(crate) fn openssl(folder: &Path, words: &str, more: &[&str]) -> Result<(), String> {
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
