//! Certificates of authorities and lists of revoked certificates, from PEM
//! files.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::certificate::Certificate;
use super::crl::Crl;
use super::keys;
use super::pem;
use crate::conf::Problem;
use crate::tls::settings::File;

/// The authorities of a file; the same one twice counts once.
pub(crate) fn load(file: &File) -> Result<Vec<Certificate>, Problem> {
    let text = read(file, "certificate")?;
    let mut own: Vec<Certificate> = Vec::new();
    for der in CertificateDer::pem_slice_iter(&text) {
        let der = der.map_err(|why| refuse(file, "certificate", &pem::describe(&why)))?;
        let one = Certificate::parse(&der)
            .ok_or_else(|| refuse(file, "certificate", "not an X.509 certificate"))?;
        if !own.iter().any(|known| known.der == one.der) {
            own.push(one);
        }
    }
    if own.is_empty() {
        return Err(refuse(file, "certificate", "no certificate in it"));
    }
    Ok(own)
}

/// The lists of a file.
pub(crate) fn load_crls(file: &File) -> Result<Vec<Crl>, Problem> {
    let text = read(file, "CRL")?;
    let mut own = Vec::new();
    for der in CertificateRevocationListDer::pem_slice_iter(&text) {
        let der = der.map_err(|why| refuse(file, "CRL", &pem::describe(&why)))?;
        let one = Crl::parse(&der).ok_or_else(|| refuse(file, "CRL", "not an X.509 CRL"))?;
        own.push(one);
    }
    if own.is_empty() {
        return Err(refuse(file, "CRL", "no list in it"));
    }
    Ok(own)
}

pub(super) fn read(file: &File, what: &str) -> Result<Vec<u8>, Problem> {
    std::fs::read(&file.path).map_err(|source| refuse(file, what, &keys::describe(&source)))
}

fn refuse(file: &File, what: &str, why: &str) -> Problem {
    let message = format!("cannot load {what} \"{}\": {why}", file.path.display());
    Problem::emerg(&file.at, message)
        .with_help("the file must exist, be readable and hold PEM text of the right kind")
}
