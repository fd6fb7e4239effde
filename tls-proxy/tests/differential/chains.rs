//! Certificate chains that a case describes, and CRLs, made by openssl.

use super::certificates::openssl;
use std::fmt::Write as _;
use std::path::Path;

/// The certificates of one client, from its root down to its own.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) name: String,
    parts: Vec<Part>,
}

/// One certificate or list: `[name]`, then lines of openssl's configuration.
#[derive(Debug, Clone, Default)]
struct Part {
    name: String,
    /// Lines that are no extensions: `subject`, `hash`, `revoked` and so on.
    settings: Vec<(String, String)>,
    extensions: String,
}

/// Lines that are not extensions.
const SETTINGS: &[&str] = &[
    "subject", "days", "hash", "key", "serial", "bare", "revoked", "number",
];

impl Chain {
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                parts.push(Part::plain(name));
                continue;
            }
            let part = parts.last_mut().ok_or("a line before the first [part]")?;
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            if SETTINGS.contains(&key) {
                part.settings.push((key.to_owned(), value.to_owned()));
            } else {
                let _ = writeln!(part.extensions, "{line}");
            }
        }
        let name = name.to_owned();
        Ok(Self { name, parts })
    }

    /// The certificates from the root down. A root and a leaf that it does not mention are plain
    /// ones, and so is one between the two, unless it says `[direct]`.
    fn certificates(&self) -> Vec<Part> {
        let mut parts = self.parts.clone();
        let is_direct = parts.iter().any(|part| part.name == "direct");
        parts.retain(|part| !part.is_list() && part.name != "direct");
        let lacks = |parts: &[Part], name: &str| parts.iter().all(|part| part.name != name);
        if lacks(&parts, "root") {
            parts.insert(0, Part::plain("root"));
        }
        if !is_direct && lacks(&parts, "middle") {
            parts.insert(1, Part::plain("middle"));
        }
        if lacks(&parts, "leaf") {
            parts.push(Part::plain("leaf"));
        }
        parts
    }
}

impl Part {
    fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    fn is_list(&self) -> bool {
        self.name.starts_with("crl ")
    }

    /// Says nothing of its own.
    fn is_plain(&self) -> bool {
        self.settings.is_empty() && self.extensions.is_empty()
    }

    fn setting(&self, name: &str) -> Option<&str> {
        let mut fitting = self.settings.iter().filter(|(key, _)| key == name);
        fitting.next().map(|(_, value)| value.as_str())
    }

    fn says(&self, extension: &str) -> bool {
        let mut lines = self.extensions.lines();
        lines.any(|line| line.starts_with(extension))
    }
}

/// Makes every chain, once: NAME.pem and its key for each, `roots.pem` and `lists.pem` of all.
pub(crate) fn make(chains: &[Chain], folder: &Path) -> Result<(), String> {
    if chains.is_empty() || folder.join("roots.pem").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let (mut roots, mut lists) = (String::new(), String::new());
    for chain in chains {
        let own = folder.join(&chain.name);
        std::fs::create_dir_all(&own).map_err(|error| error.to_string())?;
        let parts = chain.certificates();
        let mut pem = String::new();
        let mut above: Option<&Part> = None;
        // The plain ones on top are made once for all, unless a list is about them.
        let mut is_shared = chain.parts.iter().all(|part| !part.is_list());
        for part in &parts {
            is_shared &= part.is_plain();
            if is_shared {
                share(folder, &own, part, above)?;
            } else {
                certify(&own, &chain.name, part, above)?;
            }
            let text = read(&own, &part.name)?;
            match above {
                None => roots += &text,
                Some(_) => pem = text + &pem,
            }
            above = Some(part);
        }
        write(folder, &format!("{}.pem", chain.name), &pem)?;
        let key = std::fs::read(own.join("leaf.key")).map_err(|error| error.to_string())?;
        std::fs::write(folder.join(format!("{}.key", chain.name)), key)
            .map_err(|error| error.to_string())?;
        for part in &chain.parts {
            if let Some(issuer) = part.name.strip_prefix("crl ") {
                lists += &revoke(&own, part, issuer)?;
            }
        }
    }
    write(folder, "lists.pem", &lists)?;
    write(folder, "roots.pem", &roots)
}

/// A plain certificate, from those that are there already or made for all.
fn share(folder: &Path, own: &Path, part: &Part, above: Option<&Part>) -> Result<(), String> {
    let common = folder.join("plain");
    std::fs::create_dir_all(&common).map_err(|error| error.to_string())?;
    if !common.join(format!("{}.pem", part.name)).exists() {
        certify(&common, "plain", part, above)?;
    }
    for ending in ["pem", "key"] {
        let name = format!("{}.{ending}", part.name);
        std::fs::copy(common.join(&name), own.join(&name)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// One certificate by the one above it, or by itself.
fn certify(own: &Path, chain: &str, part: &Part, above: Option<&Part>) -> Result<(), String> {
    let name = &part.name;
    let kind = part
        .setting("key")
        .unwrap_or("ec -pkeyopt ec_paramgen_curve:P-256");
    let keys = own.parent().unwrap_or(own);
    // Keys are made once for all chains of a case.
    let key = format!("{name}-{}.key", kind.replace([' ', ':'], "-"));
    if !keys.join(&key).exists() {
        openssl(keys, &format!("genpkey -algorithm {kind} -out {key}"), &[])?;
        openssl(keys, &format!("pkey -in {key} -pubout -out {key}.pub"), &[])?;
    }
    for (from, to) in [(key.clone(), "key"), (format!("{key}.pub"), "pub")] {
        std::fs::copy(keys.join(from), own.join(format!("{name}.{to}")))
            .map_err(|error| error.to_string())?;
    }
    let mut extensions = part.extensions.clone();
    if part.setting("bare").is_none() {
        let defaults: &[(&str, &str)] = match name.as_str() {
            "leaf" => &[],
            _ => &[
                ("basicConstraints", "critical,CA:TRUE"),
                ("keyUsage", "critical,keyCertSign,cRLSign"),
            ],
        };
        for (extension, value) in defaults {
            if !part.says(extension) {
                let _ = writeln!(extensions, "{extension}={value}");
            }
        }
    }
    for identifier in ["subjectKeyIdentifier", "authorityKeyIdentifier"] {
        if !part.says(identifier) {
            let _ = writeln!(extensions, "{identifier}=none");
        }
    }
    write(own, &format!("{name}.ext"), &extensions)?;
    let days = part.setting("days").unwrap_or("30");
    let hash = part.setting("hash").unwrap_or("sha256");
    let serial = part.setting("serial").unwrap_or("4242");
    let signer = match above {
        None => format!("-signkey {name}.key"),
        Some(issuer) => {
            let issuer = &issuer.name;
            format!("-force_pubkey {name}.pub -CA {issuer}.pem -CAkey {issuer}.key")
        }
    };
    let subject = format!("/O=Org/CN={chain} {name}");
    openssl(
        own,
        &format!(
            "x509 -new {signer} -{hash} -days {days} -set_serial {serial} -extfile {name}.ext \
             -out {name}.pem -subj"
        ),
        &[part.setting("subject").unwrap_or(&subject)],
    )
}

/// A list of revoked certificates by `issuer`; `revoked` names one certificate of the chain by
/// its serial number, and why.
fn revoke(own: &Path, part: &Part, issuer: &str) -> Result<String, String> {
    let mut index = String::new();
    if let Some(revoked) = part.setting("revoked") {
        let (serial, reason) = revoked.split_once(',').unwrap_or((revoked, ""));
        let comma = if reason.is_empty() { "" } else { "," };
        let number: u64 = serial.parse().map_err(|_| "revoked=SERIAL[,REASON]")?;
        let hex = format!("{number:X}");
        let pad = if hex.len() % 2 == 1 { "0" } else { "" };
        let _ = writeln!(
            index,
            "R\t350101000000Z\t250101000000Z{comma}{reason}\t{pad}{hex}\tunknown\t/CN=x"
        );
    }
    write(own, "index", &index)?;
    write(
        own,
        "number",
        &format!("{}\n", part.setting("number").unwrap_or("01")),
    )?;
    let configuration = format!(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\ncrlnumber=number\n\
         crl_extensions=e\n[e]\n{}",
        part.extensions.replace("\\n", "\n")
    );
    write(own, "ca.cnf", &configuration)?;
    let days = part.setting("days").unwrap_or("30");
    let hash = part.setting("hash").unwrap_or("sha256");
    let times = match days.strip_prefix('-') {
        Some(_) => "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z".to_owned(),
        None => format!("-crldays {days}"),
    };
    openssl(
        own,
        &format!(
            "ca -config ca.cnf -cert {issuer}.pem -keyfile {issuer}.key -md {hash} -gencrl \
             {times} -out list.crl"
        ),
        &[],
    )?;
    std::fs::read_to_string(own.join("list.crl")).map_err(|error| error.to_string())
}

fn read(folder: &Path, name: &str) -> Result<String, String> {
    std::fs::read_to_string(folder.join(format!("{name}.pem"))).map_err(|error| error.to_string())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    std::fs::write(folder.join(name), text).map_err(|error| error.to_string())
}
