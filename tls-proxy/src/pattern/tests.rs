//! Patterns against subjects, as PCRE matches them.

use std::path::Path;

use super::*;
use crate::conf::Position;

fn compile(text: &str) -> Result<Pattern, Problem> {
    let at = Position {
        file: Path::new("t").into(),
        line: 1,
        column: 1,
    };
    let word = Word {
        text: text.into(),
        quoted: false,
        at,
    };
    Pattern::compile(text, false, &word)
}

/// The groups from the first on; none where nothing matches.
fn groups(text: &str, subject: &str) -> Option<Vec<String>> {
    let pattern = compile(text).expect("valid");
    let found = pattern.groups(subject.as_bytes()).expect("bounded")?;
    let cut = |range: &Range<usize>| subject[range.clone()].to_owned();
    Some(found.iter().skip(1).map(cut).collect())
}

fn matches(text: &str, subject: &str) -> bool {
    groups(text, subject).is_some()
}

#[test]
fn plain_patterns_match() {
    for (text, subject, expected) in [
        ("^/a", "/ab", true),
        (r"\.(png|jpe?g)$", "/x.jpg", true),
        (r"\.(png|jpe?g)$", "/x.jpgx", false),
        ("(?i)abc", "xABCx", true),
        ("a(?i)b|c", "C", true),
        ("(?i:a)b", "AB", false),
        (r"^/\d{2,3}\/\-x", "/123/-x", true),
        ("[[:alpha:]-]+[^[:space:]]$", "a-b!", true),
        ("[]a]+x", "]ax", true),
        ("[[a]b]", "[b]", true),
        ("[a&&b]", "&", true),
        ("a{,2}", "a{,2}", true),
        ("a{x", "a{x", true),
        (r"\h+\Qa.b\E", "\t a.b", true),
        (r"\x41\x{42}\103\0", "ABC\0", true),
        (r"a\<b", "a<b", true),
        ("(?x) a b # c", "ab", true),
        ("a.b", "a\nb", false),
        ("(?s)a.b", "a\nb", true),
        (r"^\Qab\E+(?#c)$", "abbb", true),
        (r"a(?#c)*b\8", "aab8", true),
        ("é", "é", true),
        ("[é]", "\u{e9}", true),
        ("", "", true),
    ] {
        assert_eq!(matches(text, subject), expected, "{text} on {subject:?}");
    }
}

#[test]
fn what_regex_has_not_is_matched_too() {
    for (text, subject, expected) in [
        (r"/\.(?!well-known)", "/.git", true),
        (r"/\.(?!well-known)", "/.well-known", false),
        ("^(?!/api/).*$", "/web/x", true),
        ("^(?!/api/).*$", "/api/x", false),
        ("(?<=a)b", "ab", true),
        ("(?<=a|cd)b", "cdb", true),
        ("(?<!a)b", "ab", false),
        (r"(\w+)-\1$", "ab-ab", true),
        (r"(\w+)-\1$", "ab-ac", false),
        (r"(?i)(a+)\1b", "aAb", true),
        (r"(?<x>a)\k<x>(?P=x)\g{x}\g1", "aaaaa", true),
        ("a++a", "aaa", false),
        ("(?>a*)b", "aab", true),
        ("(?>a|ab)c", "abc", false),
        ("(a*)*+b", "aab", true),
        (r"a\R\Kb", "a\r\nb", true),
        ("^(?=.*x)(?=.*y)", "yx", true),
        ("^(a|(b))+(?!c)", "abab", true),
    ] {
        assert_eq!(matches(text, subject), expected, "{text} on {subject:?}");
    }
}

#[test]
fn groups_are_the_same_for_both_matchers() {
    for (text, subject, expected) in [
        ("(a)(b)?(c)", "ac", &["a", "", "c"][..]),
        ("(?:(a)|b)+", "ab", &["a"]),
        ("(a+?)(a*)", "aaa", &["a", "aa"]),
        ("(?U)(a+)(a*?)$", "aaa", &["a", "aa"]),
        ("^/(.*?)/(.*)$", "/a/b/c", &["a", "b/c"]),
        ("(a|b){2}(c?)", "abc", &["b", "c"]),
    ] {
        assert_eq!(groups(text, subject).expect("matches"), expected, "{text}");
        // The same with a part that only the backtracking matcher has.
        let text = format!("{text}(?=)");
        assert_eq!(groups(&text, subject).expect("matches"), expected, "{text}");
    }
}

#[test]
fn the_end_may_have_a_line_feed_behind_it() {
    assert!(matches(r"\.php$", "/a.php\n"));
    assert!(matches(r"\.php\Z", "/a.php\n"));
    assert!(!matches(r"\.php\z", "/a.php\n"));
    assert_eq!(groups("^(.*)$", "a\n").expect("matches"), ["a"]);
    assert!(!matches("a$", "a\n\n"));
}

#[test]
fn bytes_that_are_no_text_match_as_bytes() {
    let pattern = compile(r"^.\xff[^a](?!b)").expect("valid");
    assert_eq!(pattern.is_match(b"\xfe\xff\x80"), Ok(true));
    assert_eq!(pattern.is_match(b"\xfe\xff\x80b"), Ok(false));
}

#[test]
fn what_pcre_refuses_is_refused() {
    for text in [
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "[z-a]",
        "*a",
        "a**",
        "a{2}{3}",
        "[a-\\d]",
        "[[.a.]]",
        "+",
        "?",
        "^*",
        "a{2,1}",
        "a{70000}",
        "\\",
        "(?<n>a)(?<n>b)",
        "(?<1>a)",
        "(?<n",
        r"\2(a)",
        "(?z)",
        r"\k<n>",
        "[[:foo:]]",
        "[:alpha:]",
        "(?<=a*)b",
        r"\u0041",
        "(?#a",
        "(?P<a-b>x)",
    ] {
        assert!(compile(text).is_err(), "{text}");
    }
}

#[test]
fn what_only_pcre_has_is_refused_with_help() {
    for text in [
        "(?R)",
        "(a)(?1)",
        "(?(1)a|b)",
        "(?|a|b)",
        "(*FAIL)",
        r"\pL",
        "(?&x)",
    ] {
        let problem = compile(text).expect_err("not supported");
        assert!(problem.help.is_some(), "{text}");
    }
}

#[test]
fn a_match_cannot_run_away() {
    let pattern = compile(r"^(?=x?)(a+)+$").expect("valid");
    let mut subject = vec![b'a'; 4000];
    subject.push(b'!');
    assert_eq!(pattern.is_match(&subject), Err(Runaway));
    let linear = compile("^(a+)+$").expect("valid");
    assert_eq!(linear.is_match(&subject), Ok(false));
}

#[test]
fn repeats_of_what_may_be_empty_end() {
    for text in ["(a*)*(?=)b", "(a*)+?(?=)b", "(|a)*(?=)b", "(?:(?=a)|a)*b"] {
        assert!(matches(text, "aab"), "{text}");
    }
}
