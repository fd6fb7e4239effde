//! CA certificates and CRLs from PEM files.

use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;

use super::certificate::Certificate;
use super::crl::Crl;
use super::files::Files;
use super::keys;
use super::pem;
use crate::conf::Problem;
use crate::tls::settings::File;

/// The CA certificates of a file, without duplicates.
pub(crate) fn load(file: &File, files: &mut Files) -> Result<Vec<Certificate>, Problem> {
    let text = read(file, "certificate", files)?;
    let mut own: Vec<Certificate> = Vec::new();
    let found = pem::certificates(&text);
    for der in found.map_err(|why| refuse(file, "certificate", &pem::describe(&why)))? {
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

/// The CRLs of a file, which all servers that name it share.
pub(crate) fn load_crls(file: &File, files: &mut Files) -> Result<Arc<[Crl]>, Problem> {
    if let Some(known) = files.lists.get(&file.path) {
        return Ok(known.clone());
    }
    let text = read(file, "CRL", files)?;
    let mut own = Vec::new();
    for der in CertificateRevocationListDer::pem_slice_iter(&text) {
        let der = der.map_err(|why| refuse(file, "CRL", &pem::describe(&why)))?;
        let one = Crl::parse(der).ok_or_else(|| refuse(file, "CRL", "not an X.509 CRL"))?;
        own.push(one);
    }
    if own.is_empty() {
        return Err(refuse(file, "CRL", "no list in it"));
    }
    let own: Arc<[Crl]> = own.into();
    files.lists.insert(file.path.clone(), own.clone());
    Ok(own)
}

fn read(file: &File, what: &str, files: &mut Files) -> Result<Arc<[u8]>, Problem> {
    let content = files.read(&file.path);
    content.map_err(|source| refuse(file, what, &keys::describe(&source)))
}

fn refuse(file: &File, what: &str, why: &str) -> Problem {
    let message = format!("cannot load {what} \"{}\": {why}", file.path.display());
    Problem::emerg(&file.at, message)
        .with_help("the file must exist, be readable and hold PEM text of the right kind")
}
