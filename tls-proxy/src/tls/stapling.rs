//! OCSP responses sent with a certificate (`ssl_stapling_file`; RFC 6066, section 8).

use super::files::Files;
use super::{der, keys};
use crate::conf::Problem;
use crate::tls::settings::StaplingSettings;

/// The OCSP response to staple; `None` if stapling is off or no file is configured.
pub(super) fn load(
    stapling: &StaplingSettings,
    files: &mut Files,
    problems: &mut Vec<Problem>,
) -> Result<Option<Vec<u8>>, Problem> {
    let Some(on) = &stapling.on else {
        return Ok(None);
    };
    let Some(file) = &stapling.file else {
        let message = "\"ssl_stapling\" without \"ssl_stapling_file\" staples nothing: \
                       responders are not asked";
        problems.push(Problem::warn(on, message));
        return Ok(None);
    };
    let refuse = |why: &str| {
        let message = format!(
            "cannot load OCSP response \"{}\": {why}",
            file.path.display()
        );
        Problem::emerg(&file.at, message).with_help("write it with `openssl ocsp -respout FILE`")
    };
    let bytes = files
        .read(&file.path)
        .map_err(|why| refuse(&keys::describe(&why)))?;
    match der::only(&bytes, der::SEQUENCE) {
        Some(_) => Ok(Some(bytes.to_vec())),
        None => Err(refuse("not a response in DER")),
    }
}
