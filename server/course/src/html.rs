//! Which HTML may leave: what the Markdown renderer makes, and a few tags authors may write themselves.

use pulldown_cmark::BlockQuoteKind;

use crate::diagnostic::Report;
use crate::render::aside;

/// Tags authors may write, without attributes.
const TAGS: [&str; 6] = ["details", "summary", "kbd", "br", "sub", "sup"];

/// Tags authors wrote that are still open.
#[derive(Debug, Default)]
pub(crate) struct Balance(Vec<(String, usize)>);

impl Balance {
    /// Whether a tag is open.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// Check a piece of HTML; what may leave of it, without comments.
    pub(crate) fn take(&mut self, text: &str, at: usize, report: &mut Report<'_>) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            out.push_str(&escape(&rest[..start]));
            let tail = &rest[start..];
            let here = at + (text.len() - tail.len());
            if let Some(comment) = tail.strip_prefix("<!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let Some(end) = tail.find('>') else {
                report.error_with_help(here, "a `<` without its `>`", Some("write &lt;".into()));
                return None;
            };
            let tag = self.tag(&tail[1..end], here, report)?;
            out.push_str(&tag);
            rest = &tail[end + 1..];
        }
        out.push_str(rest);
        Some(out)
    }

    fn tag(&mut self, inner: &str, at: usize, report: &mut Report<'_>) -> Option<String> {
        let (closing, inner) = inner.strip_prefix('/').map_or((false, inner), |inner| (true, inner));
        let inner = inner.trim_end_matches('/').trim();
        let (name, attributes) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
        let allowed = TAGS.contains(&name) && (attributes.is_empty() || (name == "details" && attributes.trim() == "open"));
        if !allowed {
            let help = Some(format!("HTML here is {} without attributes; use Markdown for the rest", TAGS.join(", ")));
            report.error_with_help(at, format!("`<{inner}>` cannot stand in a lesson"), help);
            return None;
        }
        if closing {
            match self.0.pop() {
                Some((open, _)) if open == name => {}
                _ => {
                    report.error_with_help(at, format!("`</{name}>` closes nothing"), Some(format!("write <{name}> before it")));
                    return None;
                }
            }
            return Some(format!("</{name}>"));
        }
        if name != "br" {
            self.0.push((name.to_owned(), at));
        }
        let space = if attributes.is_empty() { "" } else { " open" };
        Some(format!("<{name}{space}>"))
    }

    /// A block of prose ends: nothing may be open.
    pub(crate) fn close(&mut self, _at: usize, report: &mut Report<'_>) {
        for (name, at) in self.0.drain(..) {
            let help = Some(format!("write </{name}> before the next section or fence"));
            report.error_with_help(at, format!("`<{name}>` is not closed"), help);
        }
    }
}

/// The beginning of a quotation, or of an aside with its title.
pub(crate) fn quote(kind: Option<BlockQuoteKind>) -> String {
    match kind {
        None => "<blockquote>\n".into(),
        Some(kind) => {
            let (name, title) = aside(kind);
            format!("<blockquote class=\"markdown-alert markdown-alert-{name}\">\n<p class=\"markdown-alert-title\">{title}</p>\n")
        }
    }
}

/// A listing inside of prose.
pub(crate) fn listing(language: &str, text: &str) -> String {
    let class = if language.is_empty() { String::new() } else { format!(" class=\"language-{}\"", escape(language)) };
    format!("<pre><code{class}>{}</code></pre>\n", escape(text))
}

/// Text as it stands in HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}
