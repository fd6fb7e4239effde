//! What `-v` and `-V` print. Scripts look there for the modules that nginx was built with, so `-V`
//! lists ours as arguments of nginx's `configure`; a module counts as built in when its directive
//! works.

use crate::config::spec::{Contexts, Effect};
use crate::modules;

/// Modules that nginx builds only on request, each with the directive that needs it.
const OPTIONAL: &[(&str, &str)] = &[
    ("http_ssl_module", "ssl_certificate"),
    ("http_v2_module", "http2"),
    ("http_v3_module", "http3"),
    ("http_realip_module", "set_real_ip_from"),
    ("http_auth_request_module", "auth_request"),
    ("http_stub_status_module", "stub_status"),
    ("http_sub_module", "sub_filter"),
    ("http_gzip_static_module", "gzip_static"),
    ("http_gunzip_module", "gunzip"),
    ("http_addition_module", "add_before_body"),
    ("http_dav_module", "dav_methods"),
    ("http_flv_module", "flv"),
    ("http_mp4_module", "mp4"),
    ("http_random_index_module", "random_index"),
    ("http_secure_link_module", "secure_link"),
    ("http_slice_module", "slice"),
    ("stream", "stream"),
    ("mail", "mail"),
];

/// Modules that nginx builds unless they are switched off.
const STANDARD: &[(&str, &str)] = &[
    ("http_autoindex_module", "autoindex"),
    ("http_browser_module", "ancient_browser"),
    ("http_empty_gif_module", "empty_gif"),
    ("http_fastcgi_module", "fastcgi_pass"),
    ("http_grpc_module", "grpc_pass"),
    ("http_memcached_module", "memcached_pass"),
    ("http_mirror_module", "mirror"),
    ("http_scgi_module", "scgi_pass"),
    ("http_ssi_module", "ssi"),
    ("http_userid_module", "userid"),
    ("http_uwsgi_module", "uwsgi_pass"),
    ("http-cache", "proxy_cache_path"),
];

/// What `-v` prints, to standard error as nginx does.
#[must_use]
pub fn version() -> String {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    format!("nginx version: {name}/{version}\n")
}

/// What `-V` prints.
#[must_use]
pub fn build_info() -> String {
    let built_by = option_env!("BUILT_BY").unwrap_or("cargo");
    format!(
        "{}built by {built_by} for {}\nbuilt with rustls and aws-lc-rs\nTLS SNI support enabled\n\
         speaks the configuration of nginx 1.31\nconfigure arguments: {}\n",
        version(),
        std::env::consts::ARCH,
        arguments().join(" ")
    )
}

/// The arguments with which `configure` would build an equivalent nginx.
fn arguments() -> Vec<String> {
    let places = [
        "--prefix=/etc/nginx",
        "--sbin-path=/usr/sbin/nginx",
        "--modules-path=/usr/lib/nginx/modules",
        "--conf-path=/etc/nginx/nginx.conf",
        "--error-log-path=stderr",
        "--http-log-path=/dev/stdout",
        "--pid-path=/run/nginx.pid",
    ];
    let has = |(_, directive): &&(&str, &str)| works(directive);
    let with = OPTIONAL.iter().filter(has);
    let with = with.map(|(module, _)| format!("--with-{module}"));
    let without = STANDARD.iter().filter(|module| !has(module));
    let without = without.map(|(module, _)| format!("--without-{module}"));
    let places = places.into_iter().map(str::to_owned);
    places.chain(with).chain(without).collect()
}

/// Whether a directive takes effect here.
fn works(directive: &str) -> bool {
    let spec = modules::find(directive, Contexts::ALL);
    spec.is_some_and(|spec| matches!(spec.effect, Effect::Set(_) | Effect::Block(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_by_what_is_there() {
        let text = build_info();
        let arguments = text.rsplit_once("configure arguments: ").unwrap().1;
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        for module in ["ssl", "v2", "realip", "auth_request", "stub_status"] {
            let argument = format!("--with-http_{module}_module");
            assert!(arguments.contains(&argument.as_str()), "{text}");
        }
        for absent in ["v3", "dav", "mp4"] {
            assert!(!text.contains(&format!("http_{absent}_module")), "{text}");
        }
        assert!(
            arguments.contains(&"--without-http_fastcgi_module"),
            "{text}"
        );
        assert!(!text.contains("--with-stream"), "{text}");
        assert!(text.contains("\nTLS SNI support enabled\n"));
    }
}
