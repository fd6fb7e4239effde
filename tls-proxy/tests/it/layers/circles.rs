//! Files that import each other, directly or indirectly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::imports::Crate;

/// Every circle of two or more files, the largest first.
pub(crate) fn circles(read: &Crate) -> Vec<BTreeSet<PathBuf>> {
    let mut out: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    let mut back = out.clone();
    for import in &read.imports {
        out.entry(&import.from).or_default().insert(&import.to);
        back.entry(&import.to).or_default().insert(&import.from);
    }
    // Kosaraju: from the file that is left last, who is reached against the imports.
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for file in &read.files {
        visit(file, &out, &mut seen, &mut order);
    }
    seen.clear();
    let mut found = Vec::new();
    for file in order.into_iter().rev() {
        let mut circle = Vec::new();
        visit(file, &back, &mut seen, &mut circle);
        if circle.len() > 1 {
            found.push(circle.into_iter().map(Path::to_owned).collect());
        }
    }
    found.sort_by_key(|circle: &BTreeSet<PathBuf>| std::cmp::Reverse(circle.len()));
    found
}

/// Puts a file, and all that it leads to, behind `order` when they are left.
fn visit<'a>(
    file: &'a Path,
    edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
    seen: &mut BTreeSet<&'a Path>,
    order: &mut Vec<&'a Path>,
) {
    if !seen.insert(file) {
        return;
    }
    for next in edges.get(file).into_iter().flatten() {
        visit(next, edges, seen, order);
    }
    order.push(file);
}
