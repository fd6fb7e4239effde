//! The configuration language, through `conf::load` as the program uses it.

use crate::support::Place;
use std::fs;
use std::path::PathBuf;

use tls_proxy::conf::{Directive, Entry, Loaded, Main, load, render};

fn load_text(text: &str) -> Loaded {
    let name = "test.conf".to_owned();
    let main = Main::BuiltIn {
        name,
        text: text.to_owned(),
        folder: PathBuf::from("/nowhere"),
    };
    load(&Entry {
        main,
        globals: None,
    })
}

fn load_file(path: PathBuf) -> Loaded {
    load(&Entry {
        main: Main::File(path),
        globals: None,
    })
}

/// The tree in one line: words in brackets, so that their bounds show.
fn shape(tree: &[Directive]) -> String {
    let one = |d: &Directive| {
        let words = std::iter::once(&d.name).chain(&d.args);
        let words: String = words.map(|w| format!("[{}]", w.text)).collect();
        match &d.block {
            Some(block) => format!("{words}{{{}}}", shape(block)),
            None => format!("{words};"),
        }
    };
    tree.iter().map(one).collect()
}

fn messages(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn words_are_split_and_unescaped_as_nginx_does() {
    for (text, expected) in [
        ("", ""),
        ("# only a comment", ""),
        ("a;", "[a];"),
        ("a b  c\t'd e' \"f\";", "[a][b][c][d e][f];"),
        ("a # b;\nc;", "[a][c];"),
        ("a b#c;", "[a][b#c];"),
        ("a ${x}y$z ${{;", "[a][${x}y$z][${{];"),
        ("a b\\;c \\{ \\ d;", "[a][b\\;c][\\{][\\ d];"),
        (r#"a "\"\'\\\t\r\n\d" \"x;"#, "[a][\"'\\\t\r\n\\d][\"x];"),
        ("a \"\" '';", "[a][][];"),
        ("a \"b\nc\";", "[a][b\nc];"),
        ("if (a = \"b\") { c; }", "[if][(a][=][b][)]{[c];}"),
        ("a{b}c;}", "[a]{[b}c];}"),
        ("a\r\n{\r\nb c;\r\n}\r\n", "[a]{[b][c];}"),
        ("a \"x\"{}", "[a][x]{}"),
        ("é «ü»;", "[é][«ü»];"),
    ] {
        let loaded = load_text(text);
        assert_eq!(shape(&loaded.tree), expected, "{text:?}");
        assert_eq!(messages(&loaded), [""; 0], "{text:?}");
    }
}

#[test]
fn positions_count_characters() {
    let loaded = load_text("http {\n  é  \"b\"\n x;}");
    let block = loaded.tree[0].block.as_ref().unwrap();
    let at = |p: &tls_proxy::conf::Position| (p.line, p.column);
    assert_eq!(at(&loaded.tree[0].end), (1, 6));
    assert_eq!(at(&block[0].name.at), (2, 3));
    assert_eq!(at(&block[0].args[0].at), (2, 6));
    assert_eq!(at(&block[0].args[1].at), (3, 2));
    assert_eq!(at(&block[0].end), (3, 3));
    let hint = block[0].missing_semicolon().unwrap();
    assert_eq!(hint, "is a \";\" missing after \"b\" on line 2?");
}

#[test]
fn each_mistake_is_named_in_the_words_of_nginx() {
    let long = format!("\na {};\n", "x".repeat(5000));
    let long_quote = format!("a \"{}\";\n", "x".repeat(5000));
    for (text, expected) in [
        ("\"b c\"d;", "1: unexpected \"d\""),
        ("\"b\"é;", "1: unexpected \"é\""),
        (
            "a \"b;\n}\n",
            "3: unexpected end of file, expecting \";\" or \"}\"",
        ),
        ("a", "1: unexpected end of file, expecting \";\" or \"}\""),
        ("a {\n\n", "3: unexpected end of file, expecting \"}\""),
        ("a;\n}", "2: unexpected \"}\""),
        ("a { b }", "1: unexpected \"}\""),
        ("a { \"b\"}", "1: unexpected \"}\""),
        (";", "1: unexpected \";\""),
        ("{}", "1: unexpected \"{\""),
        (
            "include;",
            "1: invalid number of arguments in \"include\" directive",
        ),
        (
            "include a {}",
            "1: directive \"include\" is not terminated by \";\"",
        ),
        ("a \"b\0c\";", "1: parameter contains a zero byte"),
        (&long, "2: too long parameter \"xxxxxxxxxx...\" started"),
        (
            &long_quote,
            "1: too long parameter, probably missing terminating \"\"\" character",
        ),
    ] {
        let found = messages(&load_text(text));
        assert_eq!(found, [format!("test.conf:{expected}")], "{text:?}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_found() {
    let loaded = load_text("a \"b\"c;\nd {\n;\ne }\n}\nf g;\nh {");
    let lines: Vec<u32> = loaded
        .problems
        .iter()
        .map(|p| p.at.as_ref().map_or(0, |at| at.line))
        .collect();
    assert_eq!(lines, [1, 3, 4, 5, 7]);
    assert_eq!(shape(&loaded.tree), "[d]{[e];}[f][g];[h]{}");
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    let found = messages(&load_text(&"a {".repeat(100_000)));
    assert_eq!(
        found,
        ["test.conf:1: blocks are nested more than 64 levels deep"]
    );
}

#[test]
fn the_command_line_comes_first_and_has_no_blocks() {
    let name = "test.conf".to_owned();
    let main = Main::BuiltIn {
        name,
        text: "b;".to_owned(),
        folder: PathBuf::from("/"),
    };
    let with = |globals: &str| {
        load(&Entry {
            main: main.clone(),
            globals: Some(globals.to_owned()),
        })
    };
    assert_eq!(shape(&with("a off;").tree), "[a][off];[b];");
    assert_eq!(
        messages(&with("a off")),
        ["command line:1: unexpected end of parameter, expecting \";\""]
    );
    assert_eq!(
        messages(&with("a {}")),
        ["command line:1: block directives are not supported in -g option"]
    );
}

/// A folder of its own for each test.
fn folder(name: &str, files: &[(&str, &[u8])]) -> Place {
    let place = Place::new(name);
    for (path, text) in files {
        let path = place.path(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("create");
        fs::write(path, text).expect("write");
    }
    place
}

#[test]
fn includes_are_found_from_the_folder_of_the_main_file_and_sorted() {
    let place = folder(
        "includes",
        &[
            (
                "main.conf",
                b"h { include conf.d/*.conf; include none/*.conf; }".as_slice(),
            ),
            ("conf.d/b.conf", b"b;"),
            ("conf.d/a.conf", b"include sub/x;"),
            ("conf.d/.hidden.conf", b"hidden;"),
            ("conf.d/c.txt", b"c;"),
            ("sub/x", b"x;"),
        ],
    );
    let loaded = load_file(place.path("main.conf"));
    assert_eq!(messages(&loaded), [""; 0]);
    assert_eq!(shape(&loaded.tree), "[h]{[x];[b];}");
    assert_eq!(loaded.files.len(), 4);
    assert_eq!(loaded.folders, [place.path("conf.d")]);
}

#[test]
fn files_that_cannot_be_read_are_named_with_their_include() {
    let main = b"a;\ninclude gone;\ninclude sub;\ninclude main.conf;\ninclude latin;";
    let latin = b"# \xe9 in a comment is fine\nb \xe9;\n";
    let place = folder(
        "unreadable",
        &[
            ("main.conf", main.as_slice()),
            ("sub/x", b""),
            ("latin", latin),
        ],
    );
    let loaded = load_file(place.path("main.conf"));
    let shown = place.folder().display();
    assert_eq!(
        messages(&loaded),
        [
            format!(
                "{shown}/main.conf:2: open() \"{shown}/gone\" failed (2: No such file or directory)"
            ),
            format!("{shown}/main.conf:3: read() \"{shown}/sub\" failed (21: Is a directory)"),
            format!("{shown}/main.conf:4: \"{shown}/main.conf\" includes itself"),
            format!("{shown}/latin:2: parameter is not valid UTF-8"),
        ]
    );
}

#[test]
fn a_missing_main_file_is_a_problem_without_a_line() {
    let loaded = load_file(PathBuf::from("/nowhere/nginx.conf"));
    assert_eq!(
        messages(&loaded),
        ["open() \"/nowhere/nginx.conf\" failed (2: No such file or directory)"]
    );
    assert!(loaded.is_refused());
}

#[test]
fn a_brace_opened_in_an_included_file_closes_there() {
    let place = folder(
        "braces",
        &[
            ("main.conf", b"a { include x;\n".as_slice()),
            ("x", b"b;\n}\nc {\n"),
        ],
    );
    let lines: Vec<String> = messages(&load_file(place.path("main.conf")))
        .iter()
        .map(|text| text.replace(&format!("{}/", place.folder().display()), ""))
        .collect();
    assert_eq!(
        lines,
        [
            "x:2: unexpected \"}\"",
            "x:4: unexpected end of file, expecting \"}\"",
            "main.conf:2: unexpected end of file, expecting \"}\"",
        ]
    );
}

#[test]
fn no_input_makes_it_panic_or_hang() {
    const PIECES: [&str; 24] = [
        "a",
        " ",
        "\n",
        ";",
        "{",
        "}",
        "\"",
        "'",
        "\\",
        "$",
        "${",
        "#",
        "\t",
        "\r",
        "é",
        "\0",
        "(",
        ")",
        "include",
        "*",
        "[",
        "\u{feff}",
        "xxxxxxxxxxxxxxxx",
        ".",
    ];
    // xorshift: the same inputs in each run.
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    let place = folder("fuzz", &[("main.conf", b"".as_slice())]);
    for round in 0..1_500 {
        let mut bytes = Vec::new();
        for _ in 0..random(if round % 50 == 0 { 3_000 } else { 60 }) {
            if random(20) == 0 {
                bytes.push(u8::try_from(random(256)).unwrap());
            } else {
                bytes.extend_from_slice(PIECES[random(PIECES.len())].as_bytes());
            }
        }
        fs::write(place.path("main.conf"), &bytes).unwrap();
        let loaded = load_file(place.path("main.conf"));
        let mut out = Vec::new();
        render(&loaded.problems, &loaded.files, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "{bytes:?}"
        );
    }
}
