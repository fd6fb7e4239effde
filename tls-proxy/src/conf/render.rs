//! Problems as text for a terminal or a pod's log: the message in nginx's
//! form, the source line, a caret under the column, and the help.

use std::io::{self, Write};

use super::{LoadedFile, Position, Problem, Severity};

/// Characters of a source line that are shown; longer ones are clipped
/// around the column.
const WIDEST: usize = 100;

/// Writes each problem with its source line.
///
/// # Errors
/// When `out` cannot be written to.
pub fn render(problems: &[Problem], files: &[LoadedFile], out: &mut impl Write) -> io::Result<()> {
    for problem in problems {
        writeln!(
            out,
            "nginx: [{}] {}",
            problem.severity,
            escape(&problem.to_string())
        )?;
        // A notice takes one line.
        let place = problem.at.as_ref();
        let place = place.filter(|_| problem.severity != Severity::Notice);
        if let Some((line, caret)) = place.and_then(|at| excerpt(at, files)) {
            writeln!(out, "    {line}\n    {}^", " ".repeat(caret))?;
        }
        if let Some(help) = &problem.help {
            writeln!(out, "    help: {}", escape(help))?;
        }
    }
    Ok(())
}

/// The line at `at` and the place of the caret under it; `None` if the line is empty or unknown.
fn excerpt(at: &Position, files: &[LoadedFile]) -> Option<(String, usize)> {
    let file = files.iter().find(|file| file.path == at.file)?;
    let line = file
        .text
        .split('\n')
        .nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
    let line = line.trim_end_matches('\r');
    let column = usize::try_from(at.column).ok()?.saturating_sub(1);
    if line.trim().is_empty() {
        return None;
    }
    let from = column.saturating_sub(WIDEST * 2 / 3);
    let mut shown = String::from(if from > 0 { "…" } else { "" });
    let mut caret = shown.chars().count();
    let mut rest = line.chars().skip(from);
    for (place, c) in rest.by_ref().take(WIDEST).enumerate() {
        let before = shown.chars().count();
        // A tab is a space, so that the caret stays below its character.
        let c = if c == '\t' { ' ' } else { c };
        shown.push_str(&escape(c.encode_utf8(&mut [0; 4])));
        if from + place < column {
            caret += shown.chars().count() - before;
        }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    Some((shown.trim_end().to_owned(), caret))
}

/// Control characters as `\u{…}`: a file name or a word must not be able to
/// forge a line of the log or move the cursor.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control()
            || matches!(c, '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    fn rendered(text: &str, line: u32, column: u32, problem: fn(&Position) -> Problem) -> String {
        let path: Arc<Path> = Arc::from(Path::new("a.conf"));
        let at = Position {
            file: path.clone(),
            line,
            column,
        };
        let files = [LoadedFile {
            path,
            text: text.to_owned(),
            source: crate::conf::Source::File,
        }];
        let mut out = Vec::new();
        render(&[problem(&at)], &files, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_problem_points_at_its_column() {
        let text = rendered("http {\n\t  foo bar;\r\n}", 2, 4, |at| {
            Problem::emerg(at, "unknown directive \"foo\"").with_help("remove it")
        });
        let expected = "nginx: [emerg] a.conf:2: unknown directive \"foo\"\n       \
                        foo bar;\n       ^\n    help: remove it\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn wide_lines_are_clipped_around_the_column() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text = rendered(&line, 1, 501, |at| Problem::warn(at, "here"));
        let lines: Vec<&str> = text.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('X'), "{text}");
        assert!(lines[1].chars().count() < 110, "{text}");
    }

    #[test]
    fn control_characters_cannot_reach_the_log() {
        let text = rendered("\u{1b}[2J foo", 1, 6, |at| {
            Problem::emerg(at, "unknown directive \"a\n\u{1b}[2J\"")
        });
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "{text:?}"
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].find("foo"), lines[2].find('^'), "{text}");
    }

    #[test]
    fn a_place_beyond_the_text_shows_no_line() {
        let text = rendered("http {\n", 9, 1, |at| Problem::emerg(at, "unexpected end"));
        assert_eq!(text, "nginx: [emerg] a.conf:9: unexpected end\n");
    }
}
