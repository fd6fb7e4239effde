//! A file that cannot be read to its end, because the disk fails or it has become shorter, makes no
//! response that looks complete.

use std::os::unix::fs::symlink;

use crate::support::{Place, Proxy, curl};

/// Files that say that they have 4096 bytes: one cannot be read, and one has fewer.
const FAILS: &str = "/sys/class/net/lo/speed";
const SHORT: &str = "/sys/class/net/lo/mtu";

#[test]
fn a_file_that_cannot_be_read_makes_no_complete_response() {
    assert!(std::fs::read(FAILS).is_err());
    let place = Place::new("unreadable");
    symlink(FAILS, place.path("fails")).unwrap();
    symlink(SHORT, place.path("short")).unwrap();
    place.write("whole", "0123456789");
    place.write("empty", "");
    let folder = place.path("").display().to_string();
    let http = format!("server {{ listen {{plain}}; root {folder}; }}");
    let proxy = Proxy::start(place, &http);
    // CURLE_PARTIAL_FILE, or nothing at all was received.
    for (path, range, codes) in [
        ("/fails", None, &[18, 52, 56][..]),
        ("/short", None, &[18]),
        ("/short", Some("2-9"), &[18]),
        ("/whole", None, &[0]),
        ("/whole", Some("2-9"), &[0]),
        ("/empty", None, &[0]),
    ] {
        let url = proxy.url(path);
        let part = range.map_or(vec![], |range| vec!["--range", range]);
        let output = curl(&[&part[..], &[&url]].concat());
        let code = output.status.code().unwrap_or_default();
        assert!(codes.contains(&code), "{path} {range:?}: {code}");
    }
    assert_eq!(proxy.connect().fetch("/whole").text(), "0123456789");
}
