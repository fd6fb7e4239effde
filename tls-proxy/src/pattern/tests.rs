//! Patterns against subjects, as PCRE matches them.

use super::*;

fn compile(text: &str) -> Result<Pattern, Problem> {
    let at = crate::conf::Position::in_a_test();
    let word = Word {
        text: text.into(),
        quoted: false,
        at,
    };
    Pattern::compile(text, false, &word)
}

/// The groups from the first on; `None` without a match.
fn groups(text: &str, subject: &str) -> Option<Vec<String>> {
    let pattern = compile(text).expect("valid");
    budget::pay();
    let found = pattern.groups(subject.as_bytes(), &Budget::default());
    let found = found.unwrap_or_else(|error| panic!("{text}: {error}"));
    if let Some(whole) = whole(text, false, limits::WHOLE) {
        let same = Pattern(Arc::new(Inner {
            text: text.into(),
            names: Vec::new(),
            caseless: false,
            groups: whole.captures_len(),
            regex: whole.clone(),
            long: OnceLock::from(Some(whole.clone())),
            brief: OnceLock::new(),
            huge: OnceLock::from(Some(whole)),
            whole: OnceLock::new(),
            has_whole: false,
        }));
        budget::pay();
        let again = same.groups(subject.as_bytes(), &Budget::default());
        assert_eq!(again.expect("bounded"), found, "{text} on {subject}");
    }
    let found = found?;
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
        ("a(?#c)*b", "aab", true),
        ("é", "é", true),
        ("[é]", "\u{e9}", true),
        ("", "", true),
    ] {
        assert_eq!(matches(text, subject), expected, "{text} on {subject:?}");
    }
}

#[test]
fn what_only_pcre_has_is_matched_too() {
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
        (r"^(\((?R)?\))$|^x", "x", true),
        (r"^(\((?1)*\))$", "(()())", true),
        (r"^(\((?1)*\))$", "(()()", false),
        ("^(<)?a(?(1)>)$", "<a>", true),
        ("^(<)?a(?(1)>)$", "<a", false),
        ("(?|a(b)|c(d))", "cd", true),
        ("a(*FAIL)|b", "a", false),
        (r"^\p{L}+$", "aé", false),
        (r"(*UTF8)^\p{L}+$", "aé", true),
        ("(*UTF8)(*UCP)(?i)^É$", "é", true),
        ("(?i)^É$", "é", false),
    ] {
        assert_eq!(matches(text, subject), expected, "{text} on {subject:?}");
    }
}

#[test]
fn groups_that_take_no_part_are_empty() {
    for (text, subject, expected) in [
        ("(a)(b)?(c)", "ac", &["a", "", "c"][..]),
        ("(?:(a)|b)+", "ab", &["a"]),
        ("(a+?)(a*)", "aaa", &["a", "aa"]),
        ("(?U)(a+)(a*?)$", "aaa", &["a", "aa"]),
        ("^/(.*?)/(.*)$", "/a/b/c", &["a", "b/c"]),
        ("(a|b){2}(c?)", "abc", &["b", "c"]),
    ] {
        assert_eq!(groups(text, subject).expect("matches"), expected, "{text}");
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
    assert!(pattern.is_match(b"\xfe\xff\x80").expect("bounded"));
    assert!(!pattern.is_match(b"\xfe\xff\x80b").expect("bounded"));
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
fn an_error_is_reported_as_nginx_reports_it() {
    for (text, expected) in [
        ("^/(x", r#"missing closing parenthesis in "^/(x""#),
        ("a)b", r#"unmatched closing parenthesis in "a)b" at ")b""#),
        (
            "*a",
            r#"quantifier does not follow a repeatable item in "*a" at "*a""#,
        ),
        (
            "(*LIMIT_MATCH=1)(?z)",
            r#"unrecognized character after (? or (?- in "(*LIMIT_MATCH=1)(?z)" at "z)""#,
        ),
        (
            "(*LIMIT_MATCH=x)",
            r#"(*VERB) not recognized or malformed in "(*LIMIT_MATCH=x)" at "x)""#,
        ),
    ] {
        let problem = compile(text).expect_err("invalid");
        let expected = format!("pcre2_compile() failed: {expected}");
        assert_eq!(problem.message, expected, "{text}");
    }
}

#[test]
fn a_match_cannot_run_away() {
    let mut subject = vec![b'a'; 4000];
    subject.push(b'!');
    for (text, expected) in [
        ("^(a+)+$", "-47 (match limit exceeded)"),
        ("^(?:(a|b)+)+$", "-63 (heap limit exceeded)"),
        // A pattern's own limits do not raise ours.
        (
            "(*LIMIT_MATCH=4000000000)^(a+)+$",
            "-47 (match limit exceeded)",
        ),
        (
            "(*LIMIT_MATCH=4000000000)(*LIMIT_HEAP=4000000000)^(?:(a|b)+)+$",
            "-63 (heap limit exceeded)",
        ),
    ] {
        let pattern = compile(text).expect("valid");
        budget::pay();
        let runaway = pattern.is_match(&subject).expect_err("bounded");
        assert_eq!(runaway.to_string(), expected, "{text}");
    }
}

#[test]
fn a_search_cannot_run_away() {
    let words = |text: &str, times: usize| text.repeat(times);
    let unions = [words("union", 750), words("select", 560), "fram".into()].concat();
    let folders = [
        words(&[words("a/", 110), "\n".into()].concat(), 24),
        ".phq".into(),
    ]
    .concat();
    let tags = [words("<", 1200), words("script", 50), words("x", 5500)].concat();
    for (text, subject) in [
        ("union.*select.*from", unions),
        (r"/(.*)/(.*)/(.*)\.php$", folders),
        ("(<|%3C).*script.*(>|%3E)", tags),
    ] {
        let pattern = compile(text).expect("valid");
        budget::pay();
        let runaway = pattern.is_match(subject.as_bytes()).expect_err("bounded");
        assert_eq!(runaway.to_string(), "-47 (match limit exceeded)", "{text}");
        assert!(runaway.is_of_limits());
    }
}

#[test]
fn a_search_that_takes_long_is_finished() {
    let of = |times: usize| ["<", "script", "x"].map(|it| it.repeat(times)).concat();
    for (text, times, found) in [
        ("(<|%3C).*(script).*(>|%3E)", 40, None),
        (
            "(<|%3C).*(script).*[xy]{59}(.+)",
            60,
            Some(["<", "script", "x"]),
        ),
        // These have no second search.
        ("(<|%3C).*(*COMMIT)(script).*(>|%3E)", 15, None),
        (r"(<|%3C).*script.*(>|%3E)|(\((?R)?\))", 15, None),
    ] {
        let found = found.map(|texts| texts.map(str::to_owned).to_vec());
        assert_eq!(groups(text, &of(times)), found, "{text}");
    }
    for (text, has_whole) in [
        ("(?x) a # c", true),
        (r"\Qa(", true),
        (r"\(*a[(*]", true),
        ("(*SKIP)a", false),
        ("(*CRLF)a", false),
        ("a(?R)?", false),
    ] {
        assert_eq!(
            whole(text, false, limits::WHOLE).is_some(),
            has_whole,
            "{text}"
        );
    }
}

#[test]
fn what_people_write_is_searched_in_long_subjects() {
    let words: Vec<_> = (0..350).map(|number| format!("bot{number}x")).collect();
    let list = format!("({})", words.join("|"));
    let cookies = "_ga=GA1.2.1234567890.1600000000; mp_abc_mixpanel=%7B%22distinct_id%22%3A%20%22";
    for (text, subject, length, found) in [
        (".*(bot|crawler|spider).*", "Mozilla/5.0 (X11) ", 8000, None),
        (".*wget.*", "Mozilla/5.0 (X11) ", 8000, None),
        ("(.*)(session|sid)=([^;]+)", cookies, 8000, None),
        (".+session=([^;]+)", cookies, 1800, None),
        (r".*\.(php|asp|jsp)$", "php.", 8000, None),
        (&list, "Mozilla/5.0 (X11) bot ", 8000, None),
        (
            "<script[^>]*>.*</script",
            "<scrip> </script> \n",
            1_000_000,
            None,
        ),
        ("(.*)x\n(y)", "ab\n", 3000, None),
        (".*(b)\n(.*a)b$", "ab\n", 3000, Some(["b", "a"])),
    ] {
        let subject = subject.repeat(length / subject.len());
        let found = found.map(|texts| texts.map(str::to_owned).to_vec());
        assert_eq!(groups(text, &subject), found, "{text}");
    }
}

#[test]
fn a_budget_that_is_spent_ends_long_searches_at_once() {
    let own = Budget::default();
    let (pattern, subject) = (compile("(?:a|b)*[cd]").expect("valid"), [b'a'; 600]);
    let mut rounds = 0;
    while !own.is_spent() {
        rounds += 1;
        budget::pay();
        assert!(rounds < 1_000_000 && pattern.groups(&subject, &own).is_ok());
    }
    let error = pattern.groups(&subject, &own).expect_err("spent");
    assert!(error.is_of_limits() && matches!(error, Error::Spent));
    assert!(
        pattern
            .groups(b"aac", &own)
            .is_ok_and(|found| found.is_some())
    );
}

#[test]
fn searches_of_many_requests_are_brief_once_they_have_taken_much() {
    let slow = compile("^(?:a+)+$").expect("valid");
    let subject = [&[b'a'; 1000][..], b"b"].concat();
    let mut spent = 0;
    for round in 0.. {
        assert!(round < 1_000_000);
        let error = slow.groups(&subject, &Budget::default()).expect_err("slow");
        spent = if matches!(error, Error::Spent) {
            spent + 1
        } else {
            0
        };
        // The time that has passed may have been enough for another one.
        if spent == 5 {
            break;
        }
    }
    let path = ["/p/", &"img/a.jpg/".repeat(70), "x.php/", "y"].concat();
    let cookie = ["a=b; ".repeat(400), "session=1".into()].concat();
    for (text, subject) in [
        ("needle$", "needle".repeat(1000)),
        (r"^/p/(.+\.php)(/.+)$", path),
        ("^(.*)session=(.*)$", cookie),
    ] {
        let found = compile(text).expect("valid");
        let found = found.groups(subject.as_bytes(), &Budget::default());
        assert!(found.is_ok_and(|found| found.is_some()), "{text}");
    }
}

#[test]
fn a_match_cannot_take_much_memory() {
    let pattern = compile("^(?:(a)|(b))*$").expect("valid");
    assert!(pattern.is_match(&[b'a'; 1000]).expect("bounded"));
    let runaway = pattern.is_match(&[b'a'; 100_000]);
    let runaway = runaway.expect_err("too much memory");
    assert_eq!(runaway.to_string(), "-63 (heap limit exceeded)");
    // The next match has its full budget again.
    assert!(pattern.is_match(&[b'a'; 1000]).expect("bounded"));
}

#[test]
fn a_subject_that_is_no_text_is_no_match_for_utf() {
    let pattern = compile("(*UTF8)^.$").expect("valid");
    assert!(pattern.is_match("é".as_bytes()).expect("text"));
    let runaway = pattern.is_match(b"\xff").expect_err("no text");
    assert!(runaway.to_string().starts_with("-23 ("), "{runaway}");
}

#[test]
fn patterns_that_follow_each_other_do_not_share_groups() {
    assert_eq!(
        groups("(a)(b)(c)", "abc").expect("matches"),
        ["a", "b", "c"]
    );
    assert_eq!(groups("(x)|(y)|(z)", "x").expect("matches"), ["x", "", ""]);
    assert_eq!(groups("(?:(x)|y)(?:(z))?", "y").expect("matches"), ["", ""]);
    assert_eq!(groups("x", "x").expect("matches"), [""; 0]);
    let many = "(a)?".repeat(99);
    assert_eq!(groups(&many, "a").expect("matches").len(), 99);
}

#[test]
fn repeats_of_what_may_be_empty_end() {
    for text in ["(a*)*(?=)b", "(a*)+?(?=)b", "(|a)*(?=)b", "(?:(?=a)|a)*b"] {
        assert!(matches(text, "aab"), "{text}");
    }
}
