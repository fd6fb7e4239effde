//! What each file of a crate imports, as the compiler's lexer reads it: in `use`
//! and in paths, grouped, through `super` and `self`, through re-exports, inside
//! macros and inline modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A module's path below the crate, such as `["server", "http1"]`.
type Module = Vec<String>;

/// A file that needs another one of the same crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// Relative to the sources.
    pub(crate) from: PathBuf,
    pub(crate) line: usize,
    /// The path as it was resolved, without `crate::`.
    pub(crate) path: String,
    /// The file that defines what is named.
    pub(crate) to: PathBuf,
}

/// The crate's files, and what they import from each other.
pub(crate) struct Crate {
    pub(crate) files: BTreeSet<PathBuf>,
    pub(crate) imports: BTreeSet<Import>,
}

/// One name of a path that was written down somewhere.
struct Mention {
    module: Module,
    file: PathBuf,
    line: usize,
    path: Vec<String>,
}

#[derive(Default)]
struct Contents {
    file: PathBuf,
    /// Names that are defined in the module itself, its modules included.
    items: BTreeSet<String>,
    /// Names from elsewhere that others may name here, and where they are from.
    reexports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

#[derive(Default)]
struct Reader {
    modules: BTreeMap<Module, Contents>,
    mentions: Vec<Mention>,
}

impl Crate {
    /// Reads every file below `sources`.
    pub(crate) fn read(sources: &Path) -> Self {
        let mut files = Vec::new();
        list(sources, &mut files);
        let texts = files.into_iter().map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            (file.strip_prefix(sources).unwrap().to_owned(), text)
        });
        Self::of(texts.collect())
    }

    /// The same of texts by the names of their files.
    pub(crate) fn of(texts: BTreeMap<PathBuf, String>) -> Self {
        let mut reader = Reader::default();
        for (file, text) in &texts {
            let stream: TokenStream = text.parse().unwrap_or_else(|error| {
                panic!("{}: {error}", file.display());
            });
            reader.module(&module_of(file), file, stream);
        }
        let mut imports = BTreeSet::new();
        for mention in &reader.mentions {
            let Some((to, path)) = reader.resolve(&mention.module, &mention.path, 0) else {
                continue;
            };
            if to != mention.file {
                imports.insert(Import {
                    from: mention.file.clone(),
                    line: mention.line,
                    path,
                    to,
                });
            }
        }
        Self {
            files: texts.into_keys().collect(),
            imports,
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

fn module_of(file: &Path) -> Module {
    let mut module: Module = file
        .with_extension("")
        .iter()
        .map(|it| it.to_str().unwrap().to_owned())
        .collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

impl Reader {
    fn module(&mut self, module: &Module, file: &Path, stream: TokenStream) {
        self.modules.entry(module.clone()).or_default().file = file.to_owned();
        self.tokens(module, file, stream, true);
    }

    fn tokens(&mut self, module: &Module, file: &Path, stream: TokenStream, is_top: bool) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        let mut is_public = false;
        while at < tokens.len() {
            let line = tokens[at].span().start().line;
            let name = word(&tokens, at);
            let next = word(&tokens, at + 1);
            match name.as_deref() {
                Some("pub") => {
                    is_public = true;
                    at += 1;
                    if matches!(&tokens.get(at), Some(TokenTree::Group(_))) {
                        at += 1;
                    }
                    continue;
                }
                Some("use") => {
                    let end = (at..tokens.len())
                        .find(|it| is_punct(&tokens[*it], ';'))
                        .unwrap_or(tokens.len());
                    let mut found = Vec::new();
                    tree(&tokens[at + 1..end], &[], &mut found);
                    for (path, alias) in found {
                        self.mention(module, file, line, &path);
                        if is_top {
                            self.bring(module, path, alias, is_public);
                        }
                    }
                    at = end + 1;
                }
                Some("mod") if next.is_some() => {
                    let inner = next.unwrap();
                    let contents = self.modules.entry(module.clone()).or_default();
                    contents.items.insert(inner.clone());
                    if let Some(TokenTree::Group(body)) = tokens.get(at + 2) {
                        let inner = [module.as_slice(), &[inner]].concat();
                        self.module(&inner, file, body.stream());
                    }
                    at += 3;
                }
                Some("crate" | "super" | "self") if is_path(&tokens, at + 1) => {
                    let (path, after) = chain(&tokens, at);
                    self.mention(module, file, line, &path);
                    at = after;
                }
                Some(
                    "fn" | "struct" | "enum" | "trait" | "const" | "static" | "type" | "union",
                ) if is_top && next.is_some() => {
                    let contents = self.modules.entry(module.clone()).or_default();
                    contents.items.insert(next.unwrap());
                    at += 1;
                }
                Some("macro_rules") => {
                    if let Some(own) = word(&tokens, at + 2) {
                        let contents = self.modules.entry(module.clone()).or_default();
                        contents.items.insert(own);
                    }
                    at += 1;
                }
                _ => {
                    if let TokenTree::Group(group) = &tokens[at] {
                        self.tokens(module, file, group.stream(), false);
                    }
                    at += 1;
                }
            }
            is_public = false;
        }
    }

    fn mention(&mut self, module: &Module, file: &Path, line: usize, path: &[String]) {
        self.mentions.push(Mention {
            module: module.clone(),
            file: file.to_owned(),
            line,
            path: path.to_vec(),
        });
    }

    fn bring(&mut self, module: &Module, path: Vec<String>, alias: String, is_public: bool) {
        // A private import can be named by the modules below, but nobody does.
        let contents = self.modules.entry(module.clone()).or_default();
        match alias.as_str() {
            "*" if is_public => contents.globs.push(path),
            "*" | "_" => {}
            _ => {
                contents.reexports.insert(alias, path);
            }
        }
    }

    /// The file that defines what a path names, and the path as seen from the
    /// crate; None for what is of another crate.
    fn resolve(&self, module: &Module, path: &[String], depth: usize) -> Option<(PathBuf, String)> {
        if depth > 16 {
            return None;
        }
        let (mut at, mut rest) = (module.clone(), path);
        match rest.first().map(String::as_str)? {
            "crate" => {
                at.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {}
            first => {
                let own = [module.as_slice(), &[first.to_owned()]].concat();
                if !self.modules.contains_key(&own) {
                    return None;
                }
            }
        }
        while rest.first().is_some_and(|it| it == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        while let Some(name) = rest.first() {
            let inner = [at.as_slice(), std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&inner) {
                at = inner;
                rest = &rest[1..];
                continue;
            }
            let contents = self.modules.get(&at)?;
            if contents.items.contains(name) {
                break;
            }
            if let Some(origin) = contents.reexports.get(name) {
                let path = [origin.as_slice(), &rest[1..]].concat();
                return self.resolve(&at, &path, depth + 1);
            }
            let through = contents.globs.iter().find_map(|glob| {
                let path = [glob.as_slice(), rest].concat();
                let (file, found) = self.resolve(&at, &path, depth + 1)?;
                self.defines(&file, name).then_some((file, found))
            });
            if through.is_some() {
                return through;
            }
            break;
        }
        let full = [at.as_slice(), rest].concat().join("::");
        Some((self.modules.get(&at)?.file.clone(), full))
    }

    fn defines(&self, file: &Path, name: &str) -> bool {
        let mut own = self.modules.values().filter(|it| it.file == file);
        own.any(|it| it.items.contains(name))
    }
}

/// Every path of what stands behind `use`, and the name it has afterwards; a glob
/// is named `*`.
fn tree(tokens: &[TokenTree], before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    for branch in tokens.split(|it| is_punct(it, ',')) {
        let mut path = before.to_vec();
        let mut alias = None;
        let mut at = 0;
        while at < branch.len() {
            match &branch[at] {
                TokenTree::Ident(own) if own == "as" => {
                    alias = word(branch, at + 1);
                    at += 1;
                }
                TokenTree::Ident(own) if own == "self" && !path.is_empty() => {}
                TokenTree::Ident(own) => path.push(own.to_string()),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    tree(&inner, &path, found);
                    alias = Some(String::new());
                }
                TokenTree::Punct(own) if own.as_char() == '*' => alias = Some("*".to_owned()),
                _ => {}
            }
            at += 1;
        }
        let alias = alias.or_else(|| path.last().cloned());
        if let Some(alias) = alias.filter(|it| !it.is_empty()) {
            found.push((path, alias));
        }
    }
}

/// `a::b::c` from its first word on, and where it ends.
fn chain(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = vec![word(tokens, at).unwrap()];
    at += 1;
    while is_path(tokens, at) {
        let Some(next) = word(tokens, at + 2) else {
            return (path, at + 2);
        };
        path.push(next);
        at += 3;
    }
    (path, at)
}

fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at)? {
        TokenTree::Ident(own) => Some(own.to_string()),
        // What a macro was given.
        TokenTree::Group(own) if own.delimiter() == Delimiter::None => {
            word(&own.stream().into_iter().collect::<Vec<_>>(), 0)
        }
        _ => None,
    }
}

fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    let first = match tokens.get(at) {
        Some(TokenTree::Punct(own)) => own.as_char() == ':' && own.spacing() == Spacing::Joint,
        _ => false,
    };
    first && tokens.get(at + 1).is_some_and(|it| is_punct(it, ':'))
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(own) if own.as_char() == wanted)
}
