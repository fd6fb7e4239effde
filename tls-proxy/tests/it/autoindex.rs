//! `autoindex` of what a differential case cannot make: links, pipes, and folders with very many
//! files.

use std::os::unix::fs::symlink;

use crate::support::{Place, Proxy};

/// A proxy that lists a folder of the place.
fn listing(place: Place) -> Proxy {
    let folder = place.path("files").display().to_string();
    let http = format!(
        "server {{ listen {{plain}}; root {folder}; autoindex on; autoindex_format json; }}"
    );
    Proxy::start(place, &http)
}

#[test]
fn a_link_is_what_it_leads_to() {
    let place = Place::new("links");
    let folder = place.path("files");
    std::fs::create_dir_all(folder.join("folder")).unwrap();
    std::fs::write(folder.join("file"), "0123456789").unwrap();
    for (target, name) in [
        ("folder", "to-folder"),
        ("file", "to-file"),
        ("nothing", "to-nothing"),
        ("itself", "itself"),
    ] {
        symlink(target, folder.join(name)).unwrap();
    }
    let proxy = listing(place);
    assert_eq!(proxy.connect().fetch("/itself").status, 403);
    assert_eq!(proxy.connect().fetch("/itself/").status, 403);
    let text = proxy.connect().fetch("/").text();
    let of = |name: &str| {
        let name = format!("\"name\":\"{name}\"");
        let line = text
            .lines()
            .find(|line| line.contains(&name))
            .expect("it is listed");
        let is = |word: &str| line.contains(word);
        (is("\"directory\""), is("\"file\""), is("\"size\":10 "))
    };
    assert_eq!(of("to-folder"), (true, false, false));
    assert_eq!(of("to-file"), (false, true, true));
    assert_eq!(of("to-nothing"), (false, false, false));
    assert_eq!(of("itself"), (false, false, false));
}

#[test]
fn a_large_folder_is_listed_whole() {
    let place = Place::new("large-folder");
    let folder = place.path("files");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..3000 {
        std::fs::write(folder.join(format!("file-{number:05}")), "").unwrap();
    }
    let text = listing(place).connect().fetch("/").text();
    let names: Vec<&str> = text.lines().filter(|line| line.contains("file-")).collect();
    assert_eq!(names.len(), 3000);
    assert!(names.is_sorted());
}
