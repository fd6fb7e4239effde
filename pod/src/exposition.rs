//! Metrics in Prometheus' text format, version 0.0.4, with those that every process
//! has. The caller adds its own.

use std::fmt::{Display, Write as _};

use crate::process;

/// `Content-Type` of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is being written. Names and help are not escaped, label values
/// are.
#[derive(Debug)]
pub struct Page(String);

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self(String::with_capacity(4096))
    }

    /// The text of the page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    /// Starts a family: the samples that follow belong to it. `kind` is `counter`, `gauge`,
    /// `histogram` or `summary`.
    #[inline(never)]
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.write(name, labels, &value);
    }

    // Not generic, so that it is compiled once.
    #[inline(never)]
    fn write(&mut self, name: &str, labels: &[(&str, &str)], value: &dyn Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"");
            self.push_escaped(text);
            self.0.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    /// A family with one sample.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// Metrics of the process, under the names of Prometheus' client libraries. What
    /// cannot be read from `/proc` is left out.
    pub fn process(&mut self) {
        let facts = process::facts();
        let all: [(&str, &str, &str, Option<f64>); 5] = [
            (
                "process_start_time_seconds",
                "gauge",
                "When the process began, in seconds since 1970.",
                facts.started,
            ),
            (
                "process_cpu_seconds_total",
                "counter",
                "User and system time in seconds.",
                facts.cpu_seconds,
            ),
            (
                "process_resident_memory_bytes",
                "gauge",
                "Memory in use in bytes.",
                facts.resident.map(|bytes| bytes as f64),
            ),
            (
                "process_open_fds",
                "gauge",
                "Open file descriptors.",
                facts.descriptors.map(|count| count as f64),
            ),
            (
                "process_max_fds",
                "gauge",
                "File descriptors that may be open.",
                facts.most_descriptors.map(|count| count as f64),
            ),
        ];
        for (name, kind, help, value) in all {
            if let Some(value) = value {
                self.single(name, kind, help, value);
            }
        }
    }

    fn push_escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                _ => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_samples_are_written() {
        let mut page = Page::new();
        page.family("a_total", "counter", "Things.");
        page.sample("a_total", &[("x", "1"), ("y", "z")], 2);
        page.single("b", "gauge", "A thing.", 0.5);
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\",y=\"z\"} 2\n\
                    # HELP b A thing.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(page.into_text(), text);
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::new();
        page.sample("a", &[("x", "\"\\\n{")], 1);
        assert_eq!(page.into_text(), "a{x=\"\\\"\\\\\\n{\"} 1\n");
    }

    #[test]
    fn metrics_of_this_process_are_written() {
        let mut page = Page::new();
        page.process();
        let text = page.into_text();
        for name in ["start_time_seconds", "cpu_seconds_total", "open_fds"] {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{text}");
        }
    }
}
