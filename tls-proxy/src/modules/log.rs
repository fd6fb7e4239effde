//! nginx's `ngx_http_log_module`: one line for each request.

use std::sync::Arc;

use super::value::{Parameter, Value};
use super::{Contexts, Effect, Scope, Spec, arguments};
use crate::conf::{Directive, Problem, Word};
use crate::config::files::LogFileId;
use crate::http1::target::push_escaped;
use crate::server::request::Request;
use crate::vars::registry::Registry;
use crate::vars::template::{Part, Template};

/// What the module keeps for each block.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `access_log`, all of them; none where it is off.
    pub logs: Arc<[AccessLog]>,
}

impl Default for Settings {
    fn default() -> Self {
        let standard = AccessLog {
            file: LogFileId::STDOUT,
            format: None,
            condition: None,
        };
        Self {
            logs: Arc::new([standard]),
        }
    }
}

/// One `access_log`.
#[derive(Clone, Debug)]
pub struct AccessLog {
    file: LogFileId,
    /// `None` is `combined`.
    format: Option<Arc<Format>>,
    /// `if=`.
    condition: Option<Template>,
}

/// One `log_format`.
#[derive(Debug)]
pub(crate) struct Format {
    line: Template,
    escape: Escape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    Default,
    Json,
    None,
}

/// nginx's predefined format.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::set(
        "log_format",
        Contexts::HTTP,
        (2, usize::MAX),
        |scope, directive| {
            let name = &arguments::first(directive).text;
            let format = Format::parse(directive, &mut scope.draft.variables)?;
            if name == "combined" || scope.draft.formats.contains_key(name) {
                let message = format!("duplicate \"log_format\" name \"{name}\"");
                return Err(Problem::emerg(&directive.name.at, message));
            }
            scope.draft.formats.insert(name.clone(), Arc::new(format));
            Ok(())
        },
    )
    .default("combined")
    .about("Names a line; `escape=json` and `escape=none` change how values are escaped.")
    .repeats(),
    Spec::set(
        "access_log",
        Contexts::ALL.or(Contexts::IF),
        (1, usize::MAX),
        |scope, directive| {
            if arguments::first(directive).text == "off" {
                scope.settings.log.logs = Arc::new([]);
                return Ok(());
            }
            let log = AccessLog::parse(scope, directive)?;
            let own = &mut scope.settings.log.logs;
            let inherited = if scope.first_here { &[] } else { &own[..] };
            *own = inherited.iter().cloned().chain([log]).collect();
            Ok(())
        },
    )
    .default("/dev/stdout combined")
    .about("Where requests are logged, in which format, and `if=` when.")
    .repeats(),
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

impl Format {
    /// The predefined `combined`.
    pub(crate) fn combined(variables: &mut Registry, at: &crate::conf::Position) -> Self {
        let word = Word {
            text: COMBINED.to_owned(),
            quoted: true,
            at: at.clone(),
        };
        let line = Template::compile(&word, variables);
        Self {
            line: line.unwrap_or_default(),
            escape: Escape::Default,
        }
    }

    fn parse(directive: &Directive, variables: &mut Registry) -> Result<Self, Problem> {
        let mut words = directive.args[1..].iter().peekable();
        let mut escape = Escape::Default;
        if let Some(word) = words.next_if(|word| word.text.starts_with("escape=")) {
            escape = match &word.text[7..] {
                "default" => Escape::Default,
                "json" => Escape::Json,
                "none" => Escape::None,
                other => {
                    let message = format!("unknown log format escaping \"{other}\"");
                    return Err(Problem::emerg(&word.at, message));
                }
            };
        }
        let at = &directive.args[0].at;
        let text = words.map(|word| word.text.as_str()).collect();
        let line = Template::compile(
            &Word {
                text,
                quoted: true,
                at: at.clone(),
            },
            variables,
        )?;
        Ok(Self { line, escape })
    }

    /// Appends the line of `request`, and its end.
    fn write(&self, request: &Request, value: &mut Vec<u8>, out: &mut Vec<u8>) {
        for part in self.line.parts() {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(variable) => {
                    value.clear();
                    if variable.evaluate(request, value) {
                        self.escape.write(value, out);
                    } else if self.escape == Escape::Default {
                        out.push(b'-');
                    }
                }
            }
        }
        out.push(b'\n');
    }
}

impl AccessLog {
    fn parse(scope: &mut Scope<'_>, directive: &Directive) -> Result<Self, Problem> {
        let path = arguments::first(directive);
        let mut log = Self {
            file: scope.draft.log_file(path)?,
            format: None,
            condition: None,
        };
        for (index, word) in directive.args[1..].iter().enumerate() {
            let (name, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
            match name {
                "if" => {
                    let value = Word {
                        text: value.to_owned(),
                        ..word.clone()
                    };
                    log.condition = Some(Template::compile(&value, &mut scope.draft.variables)?);
                }
                // Lines are gathered and written once per turn of the worker.
                "buffer" | "flush" => {}
                "gzip" => {
                    return Err(arguments::invalid_parameter(word)
                        .with_help("compressed logs are not supported"));
                }
                "combined" if index == 0 => {}
                _ if index == 0 => {
                    log.format = Some(scope.draft.formats.get(name).cloned().ok_or_else(|| {
                        Problem::emerg(&word.at, format!("unknown log format \"{name}\""))
                    })?);
                }
                _ => return Err(arguments::invalid_parameter(word)),
            }
        }
        Ok(log)
    }
}

/// Writes the lines of a request that has ended.
pub(crate) fn write(request: &Request) {
    let settings = request.settings();
    let logs = &request.connection.worker.logs;
    for log in settings.log.logs.iter() {
        let wanted = log
            .condition
            .as_ref()
            .is_none_or(|condition| !matches!(&condition.evaluate(request)[..], b"" | b"0"));
        if wanted {
            let format = log.format.as_deref().unwrap_or(&request.config.combined);
            logs.append(log.file, |value, out| format.write(request, value, out));
        }
    }
}

impl Escape {
    fn write(self, value: &[u8], out: &mut Vec<u8>) {
        for byte in value {
            match (self, byte) {
                (Self::None, _) => out.push(*byte),
                (Self::Default, 0..=0x1f | b'"' | b'\\' | 0x7f..) => {
                    let start = out.len();
                    push_escaped(*byte, out);
                    out[start] = b'x';
                    out.insert(start, b'\\');
                }
                (Self::Json, b'"' | b'\\') => out.extend_from_slice(&[b'\\', *byte]),
                (Self::Json, b'\n') => out.extend_from_slice(b"\\n"),
                (Self::Json, b'\r') => out.extend_from_slice(b"\\r"),
                (Self::Json, b'\t') => out.extend_from_slice(b"\\t"),
                (Self::Json, 0x08) => out.extend_from_slice(b"\\b"),
                (Self::Json, 0x0c) => out.extend_from_slice(b"\\f"),
                (Self::Json, 0..=0x1f) => {
                    let start = out.len();
                    push_escaped(*byte, out);
                    out.splice(start..=start, *b"\\u00");
                }
                _ => out.push(*byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, value: &[u8]) -> String {
        let mut out = Vec::new();
        escape.write(value, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_value_cannot_leave_its_line_or_its_quotes() {
        assert_eq!(
            escaped(Escape::Default, b"a\"b\\\n\x1f\xff"),
            "a\\x22b\\x5C\\x0A\\x1F\\xFF"
        );
        assert_eq!(
            escaped(Escape::Json, b"a\"b\\\n\x01\x08"),
            "a\\\"b\\\\\\n\\u0001\\b"
        );
        assert_eq!(escaped(Escape::None, b"a\"b"), "a\"b");
    }
}
