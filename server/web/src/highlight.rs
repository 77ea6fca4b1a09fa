//! Quiet highlighting of commands and listings, done here so that it needs no script.
//!
//! Three shades are enough: the word that matters, what can be skimmed, and comments.

use crate::page::escape;

/// Shell text: one `span.line` per line, the program's name strong, options and comments faint. Every word is a
/// span, so that a long line is broken between words.
pub(crate) fn shell(text: &str) -> String {
    let mut continued = false;
    let text = text.trim_end();
    let last = text.lines().count();
    let lines = text.lines().enumerate().map(|(index, line)| {
        let class = if continued { "line more" } else { "line" };
        // The break is part of its line, so that lines can be blocks without empty ones between them.
        let end = if index + 1 < last { "\n" } else { "" };
        let html = format!("<span class=\"{class}\">{}{end}</span>", shell_line(line, continued));
        continued = line.ends_with('\\');
        html
    });
    lines.collect()
}

fn shell_line(line: &str, continued: bool) -> String {
    let mut out = String::new();
    let mut command_next = !continued;
    let mut rest = line;
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start().len();
        out.push_str(&rest[..blank]);
        rest = &rest[blank..];
        if rest.starts_with('#') {
            out.push_str(&format!("<span class=\"c\">{}</span>", escape(rest)));
            break;
        }
        let word = &rest[..word_end(rest)];
        let class = match word {
            "" => break,
            "|" | "&&" | "||" | ";" => "p",
            _ if command_next => "k",
            _ if word.starts_with('-') => "o",
            _ if word.starts_with(['\'', '"']) => "s",
            _ => "w",
        };
        command_next = class == "p" || (command_next && word == "sudo");
        out.push_str(&format!("<span class=\"{class}\">{}</span>", escape(word)));
        rest = &rest[word.len()..];
    }
    out
}

/// Where a word ends: at a blank that is not quoted.
fn word_end(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// A listing: YAML has its keys marked, other languages are plain.
pub(crate) fn listing(language: &str, text: &str) -> String {
    match language {
        "yaml" | "yml" => text.trim_end().lines().map(yaml_line).collect::<Vec<_>>().join("\n"),
        "sh" | "bash" | "shell" | "console" => shell(text),
        _ => escape(text.trim_end()),
    }
}

fn yaml_line(line: &str) -> String {
    let body = line.trim_start();
    let indent = &line[..line.len() - body.len()];
    if body.starts_with('#') || body == "---" {
        return format!("{indent}<span class=\"c\">{}</span>", escape(body));
    }
    let (dash, body) = match body.strip_prefix("- ") {
        Some(rest) => ("- ", rest),
        None => ("", body),
    };
    let (value, comment) = match body.split_once(" #") {
        Some((value, comment)) => (value, format!(" <span class=\"c\">#{}</span>", escape(comment))),
        None => (body, String::new()),
    };
    let html = match value.split_once(':') {
        Some((key, rest)) if !key.contains(['"', '\'', '{', ' ']) && (rest.is_empty() || rest.starts_with(' ')) => {
            format!("<span class=\"k\">{}</span><span class=\"p\">:</span>{}", escape(key), escape(rest))
        }
        _ => escape(value),
    };
    format!("{indent}<span class=\"p\">{dash}</span>{html}{comment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_highlighting() {
        let cases = ["kubectl get pods -l app=web | wc -l", "echo \"a <b>\" # done", "- name: web", "image: kiamol/ch02-hello-kiamol # ours"];
        for text in cases {
            for html in [shell(text), listing("yaml", text)] {
                let mut plain = String::new();
                let mut inside = false;
                for c in html.chars() {
                    match c {
                        '<' => inside = true,
                        '>' => inside = false,
                        c if !inside => plain.push(c),
                        _ => {}
                    }
                }
                let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&").replace("&#39;", "'");
                assert_eq!(plain, text);
            }
        }
    }
}
