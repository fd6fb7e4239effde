//! nginx's `ngx_http_log_module`: one line for each request.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::document_root::{folder, path};
use super::log_format::Format;
use super::long_line::Lines;
use crate::admission::table_size::TableSizes;
use crate::conf::{Directive, Position, Problem, Word, units};
use crate::config::draft;
use crate::config::settings::ModuleSettings;
use crate::config::spec::{Contexts, Effect, MANY, Scope, Spec};
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value::{Parameter, Value};
use crate::log::files::{BlockSize, Compressed, LogFile, LogFileId, append_to};
use crate::log::form::Form;
use crate::log::level::{Level, shown};
use crate::log::losses;
use crate::message::internal_path::has_dot_dot;
use crate::request::Request;
use crate::request::error_log;
use crate::variables::template::Template;

/// `buffer=` where `gzip` stands alone, bytes.
const COMPRESSED: usize = 64 << 10;

/// What the module keeps for each block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `access_log`, all of them.
    logs: Arc<[AccessLog]>,
    /// `access_log off`, which overrides other lines of the block.
    off: bool,
}

/// One `access_log`.
#[derive(Clone, Debug)]
struct AccessLog {
    to: To,
    format: Arc<Format>,
    /// `if=`.
    condition: Option<Template>,
}

/// What the module keeps while a configuration is read.
#[derive(Default)]
struct LogDraft {
    /// `log_format`, by name; and the default one.
    formats: HashMap<String, Arc<Format>>,
    unnamed: Option<Arc<Format>>,
    /// How the files of `access_log` are buffered.
    buffers: HashMap<PathBuf, Buffer>,
}

/// The predefined format `combined`.
fn combined(draft: &mut draft::ConfigDraft, at: &Position) -> Arc<Format> {
    let known = &mut draft.parts.get_mut::<LogDraft>().formats;
    let combined = known.entry("combined".to_owned());
    let new = || Arc::new(Format::predefined(Form::Text, &mut draft.variables, at));
    combined.or_insert_with(new).clone()
}

/// The format of a log that names none.
fn unnamed(draft: &mut draft::ConfigDraft, at: &Position) -> Arc<Format> {
    let form = draft.paths.form;
    let new = || Arc::new(Format::predefined(form, &mut draft.variables, at));
    let known = &mut draft.parts.get_mut::<LogDraft>().unnamed;
    known.get_or_insert_with(new).clone()
}

/// Sets the default log, standard output; `at` is where `http` begins.
pub(super) fn begin(scope: &mut Scope<'_>, at: &Position) {
    let standard = AccessLog {
        to: To::File(LogFileId::STDOUT),
        format: unnamed(scope.draft, at),
        condition: None,
    };
    scope.settings.of_mut::<Settings>().logs = Arc::new([standard]);
}

#[derive(Clone, Debug)]
enum To {
    File(LogFileId),
    /// A name with variables.
    Named(Template),
}

/// `buffer=`, `flush=` and `gzip`; all lines of a file must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buffer {
    size: usize,
    flush: Option<Duration>,
    /// 0 is uncompressed.
    level: u32,
}

impl ModuleSettings for Settings {}

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "log_format",
        Contexts::HTTP,
        (2, MANY),
        |scope, directive| {
            let name = &arguments::first(directive).text;
            let form = scope.draft.paths.form;
            let format = Format::parse(directive, form, &mut scope.draft.variables)?;
            let known = &mut scope.draft.parts.get_mut::<LogDraft>().formats;
            if name == "combined" || known.contains_key(name) {
                let message = format!("duplicate \"log_format\" name \"{name}\"");
                return Err(Problem::emerg(&directive.name.at, message));
            }
            known.insert(name.clone(), Arc::new(format));
            Ok(())
        },
    )
    .default("combined")
    .about("Defines a format; `escape=json` and `escape=none` change how values are escaped.")
    .repeats(),
    Spec::set(
        "access_log",
        Contexts::ALL.or(Contexts::IF).or(Contexts::LIMIT_EXCEPT),
        (1, MANY),
        add,
    )
    .differs(
        |it| differs::first(it).contains('$'),
        "no line is written where the name has `..` in it",
        "logs-named-by-a-client",
    )
    .default("/dev/stdout combined")
    .about("Where requests are logged, in which format, and `if=` when; also `syslog:` and `gzip`.")
    .repeats(),
    Spec::set("log_subrequest", Contexts::ALL, (1, 1), |_, directive| {
        arguments::flag(directive).map(drop)
    })
    .default("off")
    .about("Checked; only requests of clients are logged."),
    Spec::new(
        "open_log_file_cache",
        Contexts::ALL,
        (1, 4),
        Effect::Accepted("log files stay open"),
    )
    .takes(Value::Cache(&[
        ("max", Parameter::Count),
        ("inactive", Parameter::Seconds),
        ("min_uses", Parameter::Count),
        ("valid", Parameter::Seconds),
    ])),
];

fn add(scope: &mut Scope<'_>, directive: &Directive) -> Result<(), Problem> {
    if scope.first_here {
        scope.settings.of_mut::<Settings>().logs = Arc::new([]);
        scope.settings.of_mut::<Settings>().off = false;
    }
    if arguments::first(directive).text == "off" {
        scope.settings.of_mut::<Settings>().off = true;
        return match directive.args.get(1) {
            Some(word) => Err(arguments::invalid_parameter(word)),
            None => Ok(()),
        };
    }
    let log = AccessLog::parse(scope, directive)?;
    let own = &mut scope.settings.of_mut::<Settings>().logs;
    *own = own.iter().cloned().chain([log]).collect();
    Ok(())
}

impl AccessLog {
    fn parse(scope: &mut Scope<'_>, directive: &Directive) -> Result<Self, Problem> {
        let name = arguments::first(directive);
        let format = match directive.args.get(1) {
            None => unnamed(scope.draft, &name.at),
            Some(word) if word.text == "combined" => combined(scope.draft, &word.at),
            Some(word) => {
                let known = &scope.draft.parts.get_mut::<LogDraft>().formats;
                let unknown = || format!("unknown log format \"{}\"", word.text);
                let known = known.get(&word.text).cloned();
                known.ok_or_else(|| Problem::emerg(&word.at, unknown()))?
            }
        };
        let mut condition = None;
        let mut buffer = Buffer::default();
        for word in directive.args.iter().skip(2) {
            match word.text.strip_prefix("if=") {
                Some(text) => {
                    let text = text.to_owned();
                    let word = Word {
                        text,
                        ..word.clone()
                    };
                    condition = Some(Template::compile(&word, &mut scope.draft.variables)?);
                }
                None => buffer.read(word)?,
            }
        }
        if buffer.flush.is_some() && buffer.size == 0 {
            let message = format!("no buffer is defined for access_log \"{}\"", name.text);
            return Err(Problem::emerg(&name.at, message));
        }
        let to = To::parse(scope, name, buffer)?;
        Ok(Self {
            to,
            format,
            condition,
        })
    }

    fn write(&self, request: &Request) {
        let format = &self.format;
        let name = match &self.to {
            To::File(id) => {
                let (logs, lines) = (request.config.logs(), Lines::of(request, Some(*id)));
                return logs.append(*id, None, |value, out| format.write(&lines, value, out));
            }
            To::Named(name) => name.evaluate(request),
        };
        // A client's data must not lead out of the folder.
        if has_dot_dot(&name) || name.contains(&0) {
            let what = format!("access_log \"{}\" is not written", shown(&name));
            return error_log::request(request, Level::Error, what);
        }
        let root = path(folder(request));
        if !root.is_dir() {
            let what = format!("testing \"{}\" existence failed", root.display());
            return error_log::request(request, Level::Error, what);
        }
        let (lines, mut line) = (Lines::of(request, None), Vec::new());
        format.write(&lines, &mut Vec::new(), &mut line);
        let file = path(name.to_vec());
        let written = append_to(&file).and_then(|mut file| file.write_all(&line));
        if let Err(error) = written {
            losses::count(1);
            let reason = crate::conf::reason(&error);
            let what = format!("open() \"{}\" failed ({reason})", file.display());
            error_log::request(request, Level::Crit, what);
        }
    }
}

impl To {
    fn parse(scope: &mut Scope<'_>, word: &Word, buffer: Buffer) -> Result<Self, Problem> {
        let fail = |message: String| Err(Problem::emerg(&word.at, message));
        let draft = &mut *scope.draft;
        let is_server = word.text.starts_with("syslog:");
        if !is_server && word.text.contains('$') {
            if buffer.size > 0 {
                return fail("buffered logs cannot have variables in name".to_owned());
            }
            let full = draft.paths.in_prefix(&word.text);
            let word = Word {
                text: full.to_string_lossy().into_owned(),
                ..word.clone()
            };
            let name = Template::compile(&word, &mut draft.variables)?;
            return Ok(Self::Named(name));
        }
        if buffer.size == 0 {
            return draft.log_file(word).map(Self::File);
        }
        if is_server {
            return fail("logs to syslog cannot be buffered".to_owned());
        }
        let path: PathBuf = draft.paths.in_prefix(&word.text);
        let known = *draft
            .parts
            .get_mut::<LogDraft>()
            .buffers
            .entry(path.clone())
            .or_insert(buffer);
        if known != buffer {
            return fail(format!(
                "access_log \"{}\" already defined with conflicting parameters",
                path.display()
            ));
        }
        if buffer.level == 0 {
            return draft.log_file(word).map(Self::File);
        }
        let sizes = draft.parts.get_mut::<TableSizes>();
        let size = sizes.for_each_worker(&path.to_string_lossy(), buffer.size as u64);
        let compressed = Compressed {
            path,
            level: buffer.level,
            size: BlockSize::new(size),
            flush: buffer.flush,
        };
        let file = LogFile::Compressed(compressed);
        Ok(Self::File(draft.keep_log_file(file)))
    }
}

impl Buffer {
    /// Reads a parameter. Lines of a plain file are always collected and written once per iteration
    /// of the worker's event loop.
    fn read(&mut self, word: &Word) -> Result<(), Problem> {
        let invalid = |what: &str, value: &str| {
            Problem::emerg(&word.at, format!("invalid {what} \"{value}\""))
        };
        match word.text.split_once('=') {
            Some(("buffer", value)) => {
                let size = units::parse_size(value).and_then(|size| usize::try_from(size).ok());
                let size = size.filter(|size| *size > 0);
                self.size = size.ok_or_else(|| invalid("buffer size", value))?;
            }
            Some(("flush", value)) => {
                let time = units::parse_time_ms(value).filter(|time| *time > 0);
                let time = time.ok_or_else(|| invalid("flush time", value))?;
                self.flush = Some(Duration::from_millis(time));
            }
            Some(("gzip", value)) => {
                let level = units::parse_integer(value).filter(|level| (1..=9).contains(level));
                self.level = level.ok_or_else(|| invalid("compression level", value))?;
            }
            None if word.text == "gzip" => self.level = 1,
            _ => {
                let known = ["buffer=", "flush=", "gzip", "gzip=", "if="];
                return Err(arguments::unknown_parameter(word, &known));
            }
        }
        if self.level > 0 && self.size == 0 {
            self.size = COMPRESSED;
        }
        Ok(())
    }
}

/// Writes the lines of a finished request.
pub(crate) fn write(request: &Request) {
    let settings = request.settings().of::<Settings>();
    if settings.off {
        return;
    }
    for log in settings.logs.iter() {
        let wanted = log
            .condition
            .as_ref()
            .is_none_or(|condition| !matches!(&condition.evaluate(request)[..], b"" | b"0"));
        if wanted {
            log.write(request);
        }
    }
}
