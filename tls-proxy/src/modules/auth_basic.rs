//! nginx's `ngx_http_auth_basic_module`: a name and a password (RFC 7617).

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use pod::small_file;

use super::{document_root, passwords};
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Spec};
use crate::directive::arguments;
use crate::log::level::{Level, shown};
use crate::message::fields::value_of;
use crate::modules::variables::known::credentials;
use crate::request::Request;
use crate::request::error_log;
use crate::request::hashers::Unhashed;
use crate::request::response::Refusal;
use crate::variables::template::Template;

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `auth_basic`; `None` is off.
    realm: Option<Template>,
    /// `auth_basic_user_file`.
    file: Option<Template>,
}

const PLACES: Contexts = Contexts::ALL.or(Contexts::LIMIT_EXCEPT);

impl ModuleSettings for Settings {
    fn is_used(&self) -> bool {
        self.realm.is_some() && self.file.is_some()
    }
}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("auth_basic", PLACES, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        scope.settings.of_mut::<Settings>().realm = match word.text.as_str() {
            "off" => None,
            _ => Some(Template::compile(word, &mut scope.draft.variables)?),
        };
        Ok(())
    })
    .default("off")
    .about("Asks for a name and a password, for this realm."),
    Spec::set("auth_basic_user_file", PLACES, (1, 1), |scope, directive| {
        let word = arguments::first(directive);
        let mut word = word.clone();
        if !word.text.starts_with('$') {
            let path = scope.draft.paths.in_conf(&word.text);
            word.text = path.to_string_lossy().into_owned();
        }
        let file = Template::compile(&word, &mut scope.draft.variables)?;
        scope.settings.of_mut::<Settings>().file = Some(file);
        Ok(())
    })
    .about("Lines of `name:password`; the password as bcrypt (`htpasswd -B`), `$6$`, `$5$`, `$1$`, `$apr1$`, `{SSHA}`, `{SHA}` or `{PLAIN}`. Read for each request; 1 MiB at most."),
];

/// Checks the request's credentials; `None` if none are required. That is not the same as
/// valid ones: with `satisfy any` it allows nobody.
pub(crate) async fn check(
    settings: &Settings,
    request: &mut Request,
) -> Option<Result<(), Refusal>> {
    let (realm, file) = (settings.realm.as_ref()?, settings.file.as_ref()?);
    let realm = value_of(realm.evaluate(request));
    // In a response it is twice: as it is, and as it is sent.
    if let Err(refusal) = request.keep_value(2 * realm.len()) {
        return Some(Err(refusal));
    }
    match &realm[..] {
        b"off" => None,
        _ => Some(verify(&realm, file, request).await),
    }
}

async fn verify(realm: &Bytes, file: &Template, request: &mut Request) -> Result<(), Refusal> {
    let given = credentials(request);
    let ask = |request: &mut Request| {
        let field = [b"Basic realm=\"", &realm[..], b"\""].concat();
        request.challenge = Some(Bytes::from(field));
        Err(Refusal::new(401))
    };
    let Some((user, password)) = given else {
        if request.head.fields.first(b"authorization").is_none() {
            let what = "no user/password was provided for basic authentication";
            error_log::request(request, Level::Info, what);
        }
        return ask(request);
    };
    let file = document_root::path(file.evaluate(request).to_vec());
    request.count_values(0)?;
    let file = request.config.conf.join(file);
    let Some(stored) = look_up(&file, &user, request)? else {
        let what = format!(
            "user \"{}\" was not found in \"{}\"",
            shown(&user),
            file.display()
        );
        error_log::request(request, Level::Error, what);
        return ask(request);
    };
    let worker = request.connection.worker.clone();
    let hash = move || passwords::verify(&password, &stored);
    match worker.hashers.run(hash).await {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false)) => {
            let what = format!("user \"{}\": password mismatch", shown(&user));
            error_log::request(request, Level::Error, what);
            ask(request)
        }
        Err(Unhashed::Busy) => {
            let what = "too many passwords are being checked; a weaker hash takes less time, and limit_req limits who asks";
            error_log::request(request, Level::Error, what);
            Err(Refusal::new(503))
        }
        Err(Unhashed::Refused(error)) => {
            let reason = crate::conf::reason(&error);
            let what = format!("no thread to check a password: pthread_create() failed ({reason})");
            error_log::request(request, Level::Crit, &what);
            Err(Refusal::new(503))
        }
        Ok(None) | Err(Unhashed::Failed) => {
            let what = format!(
                "user \"{}\": password mismatch: the stored one is of no known form; write it anew with htpasswd -B",
                shown(&user)
            );
            error_log::request(request, Level::Error, what);
            ask(request)
        }
    }
}

/// The stored password of a user. The file is not kept while the password is checked.
fn look_up(file: &Path, user: &[u8], request: &Request) -> Result<Option<String>, Refusal> {
    let text = small_file::read(file, small_file::LARGEST_SECRET, Duration::ZERO);
    let text = text.map_err(|error| {
        let reason = crate::conf::reason(&error);
        let what = format!("open() \"{}\" failed ({reason})", file.display());
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let (level, status) = match missing {
            true => (Level::Error, 403),
            false => (Level::Crit, 500),
        };
        error_log::request(request, level, what);
        Refusal::new(status)
    })?;
    Ok(find(&text, user))
}

/// The stored password of a user; `#` begins a comment. A blank is part of a password, as in nginx.
/// One that is no text is empty, which no password matches.
fn find<'a>(text: &'a [u8], user: &[u8]) -> Option<String> {
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.starts_with(b"#"));
    let of_line = |line: &'a [u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut parts = line.split(|byte| *byte == b':');
        (parts.next()? == user).then(|| parts.next()).flatten()
    };
    let stored = lines.filter_map(of_line).next()?;
    Some(String::from_utf8(stored.to_vec()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let text = b"#user:x\nuser2:a\nuser:b:comment\r\na:{PLAIN}\xe9\nd:c\r\n";
        let found = |user| find(text, user);
        assert_eq!(found(b"user").as_deref(), Some("b"));
        assert_eq!(found(b"d").as_deref(), Some("c"));
        assert_eq!(found(b"a").as_deref(), Some(""));
        assert_eq!(found(b"#user"), None);
        assert_eq!(found(b"use"), None);
        assert_eq!(found(b"user:b"), None);
    }
}
