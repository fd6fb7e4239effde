//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write as _};

/// A page being written. Names, labels and help are our own and need no escaping.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Self {
        Self(String::with_capacity(4096))
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// What the samples that follow mean.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One value of a family.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(
                self.0,
                "{}{label}=\"{text}\"",
                if index == 0 { '{' } else { ',' }
            );
        }
        let _ = writeln!(
            self.0,
            "{} {value}",
            if labels.is_empty() { "" } else { "}" }
        );
    }

    /// A family of one value.
    pub(crate) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_families_of_samples() {
        let mut page = Page::new();
        page.family("a_total", "counter", "Things.");
        page.sample("a_total", &[("x", "1"), ("y", "z")], 2);
        page.single("b", "gauge", "A thing.", 0.5);
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\",y=\"z\"} 2\n\
                    # HELP b A thing.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(page.into_text(), text);
    }
}
