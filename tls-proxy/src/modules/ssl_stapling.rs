//! The part of `ngx_http_ssl_module` about OCSP stapling. `tls/stapling.rs` reads the file.

use crate::config::spec::{Contexts, Effect, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value::Value;
use crate::modules::ssl;
use crate::tls::settings::File;

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);
const NOT_ASKED: &str = "responders are not asked; `ssl_stapling_file` is what is stapled";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set("ssl_stapling", HTTP_SERVER, (1, 1), |scope, directive| {
        let on = arguments::flag(directive)?;
        scope.settings.of_mut::<ssl::Settings>().stapling.on =
            on.then(|| directive.name.at.clone());
        Ok(())
    })
    .default("off")
    .about("Staples the OCSP response in `ssl_stapling_file`; without one it warns and staples nothing."),
    Spec::set(
        "ssl_stapling_file",
        HTTP_SERVER,
        (1, 1),
        |scope, directive| {
            scope.settings.of_mut::<ssl::Settings>().stapling.file =
                Some(File::parse(directive, scope.draft));
            Ok(())
        },
    )
    .about("The OCSP response to staple (DER)."),
    Spec::new(
        "ssl_stapling_responder",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(NOT_ASKED),
    )
    .differs(differs::always, "", "ocsp"),
    Spec::new(
        "ssl_stapling_verify",
        HTTP_SERVER,
        (1, 1),
        Effect::Accepted(NOT_ASKED),
    )
    .differs(differs::on, "", "ocsp")
    .takes(Value::Flag),
];
