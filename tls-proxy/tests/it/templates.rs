//! Templates of nginx's image, expanded by the program that is started as `nginx`: what an
//! `include` finds, how errors are reported, and that they are watched.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use crate::support::proxy::{around, command};
use crate::support::{Place, Proxy, eventually, stderr, stdout};

/// The program as nginx's image starts it, with templates in `templates` for files in `out`.
fn nginx(place: &Place, arguments: &[&str]) -> Command {
    let mut command = command(place, arguments);
    command
        .arg0("nginx")
        .env("NGINX_ENVSUBST_TEMPLATE_DIR", place.path("templates"))
        .env("NGINX_ENVSUBST_OUTPUT_DIR", place.path("out"))
        .env("WORD", "hello");
    command
}

fn tested(place: &Place, flag: &str) -> Output {
    let conf = place.write("nginx.conf", &around("include out/*.conf;"));
    nginx(place, &[flag, "-c", conf.to_str().unwrap()])
        .output()
        .unwrap()
}

fn with_templates(name: &str) -> Place {
    let place = Place::new(name);
    fs::create_dir_all(place.path("templates/..data")).unwrap();
    fs::create_dir(place.path("out")).unwrap();
    place
}

#[test]
fn a_template_stands_in_the_place_of_its_file() {
    let place = with_templates("template");
    place.write("out/a.conf", "nonsense;\n");
    place.write(
        "templates/a.conf.template",
        "map $host $a { default \"$WORD ${WORD} $other\"; }\n",
    );
    place.write("templates/..data/b.conf.template", "nonsense;\n");
    place.write("templates/c.txt", "nonsense;\n");
    let dumped = tested(&place, "-T");
    assert_eq!(dumped.status.code(), Some(1), "other is no variable");
    assert!(
        stderr(&dumped).contains("unknown \"other\" variable"),
        "{}",
        stderr(&dumped)
    );
    place.write(
        "templates/a.conf.template",
        "map $host $a { default \"$WORD ${WORD} $uri\"; }\n",
    );
    let dumped = tested(&place, "-T");
    assert!(dumped.status.success(), "{}", stderr(&dumped));
    let expected = format!(
        "# configuration file {}:\nmap $host $a {{ default \"hello hello $uri\"; }}\n",
        place.path("out/a.conf").display()
    );
    assert!(stdout(&dumped).contains(&expected), "{}", stdout(&dumped));
    assert_eq!(place.read("out/a.conf"), "nonsense;\n");
}

#[test]
fn a_mistake_is_told_with_the_template_and_its_line() {
    let place = with_templates("mistake");
    fs::create_dir(place.path("templates/sub")).unwrap();
    place.write("templates/sub/b.conf.template", "\n\nlisen ${WORD};\n");
    place.write("templates/a.conf.template", "include out/sub/b.conf;\n");
    let said = stderr(&tested(&place, "-t"));
    let line = format!(
        "{}:3: ",
        place.path("templates/sub/b.conf.template").display()
    );
    assert!(said.contains(&line), "{said}");
    assert!(said.contains("unknown directive \"lisen\""), "{said}");
    assert!(said.contains("    lisen hello;\n"), "{said}");
}

#[test]
fn a_template_of_the_stream_module_is_refused() {
    let place = with_templates("stream");
    place.write(
        "templates/tcp.conf.stream-template",
        "server { listen 5432; }\n",
    );
    let tested = tested(&place, "-t");
    assert_eq!(tested.status.code(), Some(1));
    assert!(
        stderr(&tested).contains("tcp.conf.stream-template\" is a template for nginx's stream")
    );
}

#[test]
fn another_name_than_nginx_has_no_templates() {
    let place = with_templates("own-name");
    place.write("templates/a.conf.template", "nonsense;\n");
    let conf = place.write("nginx.conf", &around("include out/*.conf;"));
    let mut command = nginx(&place, &["-t", "-c", conf.to_str().unwrap()]);
    assert!(command.arg0("tls-proxy").output().unwrap().status.success());
}

#[test]
fn a_changed_template_and_a_new_one_are_taken() {
    let place = with_templates("watched");
    let server = |text: &str| {
        format!("server {{ listen {{plain}}; include out/more/*.conf; return 200 {text}; }}\n")
    };
    place.write("templates/a.conf.template", &server("$WORD"));
    fs::create_dir(place.path("templates/more")).unwrap();
    let command = nginx(&place, &[]);
    let proxy = Proxy::start_by(place, &around("include out/*.conf;"), command);
    let says = |text: &str| eventually(text, || proxy.connect().fetch("/").text() == text);
    says("hello");
    proxy.logs("error.log", "templates/a.conf.template is expanded as");
    proxy
        .place
        .write("templates/a.conf.template", &server("${WORD}-again"));
    says("hello-again");
    proxy.place.write(
        "templates/more/b.conf.template",
        "return 200 \"new $WORD\";\n",
    );
    says("new hello");
}
