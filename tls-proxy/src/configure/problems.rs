//! Sorts problems as nginx would meet them, each with the line that nginx would name: it reads a
//! directive to its end before it checks it, and stops at the first error.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::conf::{Directive, Position, Problem};

/// Line and column.
type LineColumn = (u32, u32);

/// Where the directives of one file begin, where each ends, and its number in
/// the order of reading.
type Starts = BTreeMap<LineColumn, (LineColumn, usize)>;

/// Sorts `problems`, all of which came up while the directives of `tree` were
/// read, and gives each its line.
pub(super) fn in_order(tree: &[Directive], problems: &mut [Problem]) {
    if problems.is_empty() {
        return;
    }
    let mut files = HashMap::new();
    number(tree, &mut 0, &mut files);
    problems.sort_by_cached_key(|problem| match &problem.at {
        None => (usize::MAX, false),
        Some(at) => before(&files, at).map_or((0, false), |(end, order)| (order, place(at) > end)),
    });
    for problem in problems.iter_mut().filter(|it| it.line.is_none()) {
        let Some(at) = &problem.at else { continue };
        let end = before(&files, at).map(|(end, _)| end);
        problem.line = end.filter(|end| place(at) <= *end).map(|(line, _)| line);
    }
}

fn number<'a>(
    directives: &'a [Directive],
    next: &mut usize,
    files: &mut HashMap<&'a Path, Starts>,
) {
    for directive in directives {
        *next += 1;
        // For a file that is included twice the first inclusion counts.
        files
            .entry(&directive.name.at.file)
            .or_default()
            .entry(place(&directive.name.at))
            .or_insert((place(&directive.end), *next));
        number(directive.block.as_deref().unwrap_or_default(), next, files);
    }
}

/// End and number of the directive that begins at or next before `at`.
fn before(files: &HashMap<&Path, Starts>, at: &Position) -> Option<(LineColumn, usize)> {
    let mut earlier = files.get(&*at.file)?.range(..=place(at));
    earlier.next_back().map(|(_, found)| *found)
}

fn place(at: &Position) -> LineColumn {
    (at.line, at.column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{Entry, Main, load};

    #[test]
    fn problems_come_in_the_order_of_reading_with_the_line_of_their_end() {
        let text = "a {\n  b 1\n    2;\n}\nc 1\n  2;\n";
        let loaded = load(&Entry {
            main: Main::BuiltIn {
                name: "t".to_owned(),
                text: text.to_owned(),
                folder: "/nonexistent".into(),
            },
            globals: None,
        });
        let [a, c] = &loaded.tree[..] else {
            panic!("two directives");
        };
        let b = &a.block.as_deref().expect("a block")[0];
        let mut problems = [
            Problem::emerg(&c.args[0].at, "c"),
            Problem::emerg(&b.args[1].at, "b"),
            Problem::emerg(&a.name.at, "a"),
        ];
        in_order(&loaded.tree, &mut problems);
        let shown = problems.map(|problem| problem.to_string());
        assert_eq!(shown, ["t:1: a", "t:3: b", "t:6: c"]);
    }
}
