//! The info string of a fence: a language for everybody, then a verb and attributes for us.
//!
//! ```` ```sh run id=apply session=main ```` reads as language `sh`, verb `run`, two attributes.

use crate::diagnostic::{Report, did_you_mean};

/// A parsed info string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) language: String,
    pub(crate) verb: Option<String>,
    attributes: Vec<(String, Option<String>)>,
}

/// The verbs a fence may have.
pub(crate) const VERBS: [&str; 7] = ["run", "type", "press", "output", "file", "ask", "check"];

impl Info {
    /// Parse; a word that is neither a verb nor an attribute is an error.
    pub(crate) fn parse(text: &str, offset: usize, report: &mut Report<'_>) -> Info {
        let mut words = split(text).into_iter();
        let mut info = Info { language: words.next().unwrap_or_default(), ..Info::default() };
        for word in words {
            if let Some((key, value)) = word.split_once('=') {
                let value = value.trim_matches(|c| c == '"' || c == '\'').to_owned();
                info.attributes.push((key.to_owned(), Some(value)));
            } else if VERBS.contains(&word.as_str()) && info.verb.is_none() {
                info.verb = Some(word);
            } else {
                info.attributes.push((word, None));
            }
        }
        if info.verb.is_none() {
            // A listing knows no flags, so a lone word is a verb that is not ours.
            if let Some((word, None)) = info.attributes.iter().find(|(_, value)| value.is_none()) {
                let help = did_you_mean(word, VERBS).unwrap_or_else(|| format!("the verbs are {}", VERBS.join(", ")));
                report.error_with_help(offset, format!("`{word}` is nothing a fence can be"), Some(help));
            }
            info.attributes.retain(|(_, value)| value.is_some());
        }
        info
    }

    /// Take an attribute's value; an attribute without one is an error.
    pub(crate) fn take(&mut self, key: &str, offset: usize, report: &mut Report<'_>) -> Option<String> {
        let at = self.attributes.iter().position(|(k, _)| k == key)?;
        let (_, value) = self.attributes.remove(at);
        if value.is_none() {
            report.error_with_help(offset, format!("`{key}` needs a value"), Some(format!("write {key}=...")));
        }
        value
    }

    /// Take an attribute that has no value.
    pub(crate) fn take_flag(&mut self, key: &str) -> bool {
        let before = self.attributes.len();
        self.attributes.retain(|(k, value)| !(k == key && value.is_none()));
        self.attributes.len() != before
    }

    /// Whatever is left is a mistake.
    pub(crate) fn finish(self, known: &[&str], offset: usize, report: &mut Report<'_>) {
        for (key, _) in self.attributes {
            let help = did_you_mean(&key, known.iter().copied()).or_else(|| Some(format!("known here: {}", known.join(", "))));
            report.error_with_help(offset, format!("unknown attribute `{key}`"), help);
        }
    }
}

/// Words, where quotes hold spaces together.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(q) if c == q => {
                quote = None;
                word.push(c);
            }
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.push(c);
            }
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            None => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
