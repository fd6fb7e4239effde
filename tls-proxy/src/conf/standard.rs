//! Files of nginx's image, which ours has, too (`tls-proxy/image`); they are built into the program
//! in case a volume hides them.

use std::path::Path;

/// nginx's default path of the main configuration.
pub const MAIN: &str = "/etc/nginx/nginx.conf";

/// Files that configurations include and expect the image to have: the name below `/etc/nginx`, the
/// text.
const INCLUDED: [(&str, &str); 4] = [
    (
        "mime.types",
        include_str!("../../image/etc/nginx/mime.types"),
    ),
    (
        "fastcgi_params",
        include_str!("../../image/etc/nginx/fastcgi_params"),
    ),
    (
        "uwsgi_params",
        include_str!("../../image/etc/nginx/uwsgi_params"),
    ),
    (
        "scgi_params",
        include_str!("../../image/etc/nginx/scgi_params"),
    ),
];

/// The main configuration if there is no file: the image's, but with `conf.d` below the prefix, and
/// with logs on the standard streams, which need no folder.
#[must_use]
pub fn main_configuration() -> String {
    include_str!("../../image/etc/nginx/nginx.conf")
        .replace("/etc/nginx/conf.d/", "conf.d/")
        .replace("/var/log/nginx/access.log", "/dev/stdout")
        .replace("/var/log/nginx/error.log", "/dev/stderr")
}

/// The image's own server.
const SERVER: &str = "/etc/nginx/conf.d/default.conf";

/// The image's own server, which also listens on IPv6; `None` if the file is another one, or has
/// another text.
pub(super) fn server_on_ipv6(file: &Path, text: &[u8]) -> Option<String> {
    const OWN: &str = include_str!("../../image/etc/nginx/conf.d/default.conf");
    if file != Path::new(SERVER) {
        return None;
    }
    // The unprivileged image's port is the second one.
    ["80", "8080"].iter().find_map(|port| {
        let listen = format!("    listen {port};\n");
        let own = OWN.replace("    listen 80;\n", &listen);
        let both = format!("{listen}    listen [::]:{port};\n");
        (own.as_bytes() == text).then(|| own.replace(&listen, &both))
    })
}

/// The text of a file that nginx's image has at `path`. At other paths a missing file is an error,
/// as in nginx.
pub(super) fn included(path: &Path) -> Option<&'static str> {
    let name = path.strip_prefix("/etc/nginx").ok()?;
    let known = INCLUDED.iter().find(|(known, _)| name == Path::new(known));
    known.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nginx_s_own_folder_has_them() {
        assert!(included(Path::new("/etc/nginx/mime.types")).is_some());
        for path in [
            "/srv/mime.types",
            "/etc/nginx/conf.d/mime.types",
            "mime.types",
        ] {
            assert!(included(Path::new(path)).is_none(), "{path}");
        }
    }

    /// nginx's image has a script for it. The file is the image's own as long as its text is.
    #[test]
    fn the_image_s_own_server_listens_on_ipv6() {
        let own = include_str!("../../image/etc/nginx/conf.d/default.conf");
        let unprivileged = own.replace("listen 80;", "listen 8080;");
        let of_users = own.replace("localhost", "of.users");
        for (file, text, port) in [
            (SERVER, own, Some("80")),
            (SERVER, &unprivileged, Some("8080")),
            (SERVER, &of_users, None),
            ("/etc/nginx/conf.d/other.conf", own, None),
            ("/etc/nginx/sites/default.conf", own, None),
            ("/srv/etc/nginx/conf.d/default.conf", own, None),
            ("default.conf", own, None),
        ] {
            let amended = server_on_ipv6(Path::new(file), text.as_bytes());
            let line = |port| format!("\n    listen {port};\n    listen [::]:{port};\n");
            let has_line = |port| {
                amended
                    .as_ref()
                    .is_some_and(|text| text.contains(&line(port)))
            };
            assert_eq!(amended.is_some(), port.is_some(), "{file}: {text}");
            assert!(port.is_none_or(has_line), "{file}: {text}");
        }
    }

    #[test]
    fn the_main_configuration_names_no_folder_that_may_be_missing() {
        let text = main_configuration();
        assert!(text.contains("include conf.d/*.conf;"));
        assert!(!text.contains("/var/log"));
    }
}
