//! From words to the strings a command gets: tilde, parameters, command substitution, arithmetic, splitting, globs.

use super::{
    Shell,
    arithmetic::{self, Variables},
    pattern::{self, Mark},
    syntax::{Operator, Part, Word},
};

/// Why a word has no expansion.
#[derive(Debug)]
pub(crate) struct ExpandError(pub(crate) String);

type Expanded<T> = Result<T, ExpandError>;

/// Fields under construction.
#[derive(Default)]
struct Fields {
    done: Vec<Vec<Mark>>,
    current: Vec<Mark>,
    /// The current field exists even when it is empty: something in it was quoted.
    present: bool,
}

impl Fields {
    fn finish(&mut self) {
        if self.present || !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
        self.present = false;
    }

    fn push(&mut self, text: &str, quoted: bool) {
        self.current.extend(text.chars().map(|next| (next, quoted)));
    }

    /// Adds the result of an unquoted expansion: split at `separators`.
    fn split(&mut self, text: &str, separators: &str) {
        for next in text.chars() {
            if !separators.contains(next) {
                self.current.push((next, false));
            } else if next.is_whitespace() {
                self.finish();
            } else {
                self.present = true;
                self.finish();
            }
        }
    }
}

impl Variables for Shell {
    fn read(&self, name: &str) -> i64 {
        self.get(name).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    fn write(&mut self, name: &str, value: i64) {
        self.set(name, value.to_string());
    }
}

impl Shell {
    /// All words, with splitting and globs.
    pub(crate) fn expand_words(&mut self, words: &[Word]) -> Expanded<Vec<String>> {
        let mut all = Vec::new();
        for word in words {
            for braced in braces(word) {
                let mut fields = Fields::default();
                self.expand_into(&with_tilde(&braced), &mut fields, false)?;
                fields.finish();
                for field in fields.done {
                    let files = if pattern::is_pattern(&field) && !self.options.noglob {
                        pattern::files(&field)
                    } else {
                        Vec::new()
                    };
                    if files.is_empty() {
                        all.push(text_of(&field));
                    } else {
                        all.extend(files);
                    }
                }
            }
        }
        Ok(all)
    }

    /// One word as one string: for assignments and redirections.
    pub(crate) fn expand_one(&mut self, word: &[Part]) -> Expanded<String> {
        Ok(text_of(&self.expand_marks(&with_tilde(word))?))
    }

    /// One word as a pattern: quoted characters stand for themselves.
    pub(crate) fn expand_marks(&mut self, word: &[Part]) -> Expanded<Vec<Mark>> {
        let mut fields = Fields::default();
        self.expand_into(word, &mut fields, true)?;
        fields.finish();
        Ok(fields.done.join(&(' ', false)))
    }

    /// `whole`: nothing is split.
    fn expand_into(&mut self, parts: &[Part], fields: &mut Fields, whole: bool) -> Expanded<()> {
        for part in parts {
            match part {
                Part::Text(text) => fields.push(text, false),
                Part::Quoted(text) => {
                    fields.present = true;
                    fields.push(text, true);
                }
                Part::Double(inner) => self.expand_double(inner, fields)?,
                Part::Parameter { name, operator } if (name == "@" || name == "*") && *operator == Operator::None => {
                    let arguments = self.arguments.clone();
                    let separators = self.separators();
                    for (index, argument) in arguments.iter().enumerate() {
                        if index > 0 {
                            if whole { fields.push(" ", false) } else { fields.finish() }
                        }
                        if whole { fields.push(argument, false) } else { fields.split(argument, &separators) }
                    }
                }
                Part::Parameter { name, operator: Operator::Substitute { kind, colon, word } } => {
                    // The word keeps its own quoting: "${x:-"a b"}".
                    match self.substitute(name, *kind, *colon, word)? {
                        Some(text) if whole => fields.push(&text, false),
                        Some(text) => fields.split(&text, &self.separators()),
                        None => self.expand_into(word, fields, whole)?,
                    }
                }
                other => {
                    let text = self.value_of(other)?;
                    if whole { fields.push(&text, false) } else { fields.split(&text, &self.separators()) }
                }
            }
        }
        Ok(())
    }

    fn expand_double(&mut self, parts: &[Part], fields: &mut Fields) -> Expanded<()> {
        let only_arguments = matches!(parts, [Part::Parameter { name, operator: Operator::None }] if name == "@");
        if !(only_arguments && self.arguments.is_empty()) {
            fields.present = true;
        }
        for part in parts {
            match part {
                Part::Text(text) | Part::Quoted(text) => fields.push(text, true),
                Part::Parameter { name, operator: Operator::None } if name == "@" => {
                    let arguments = self.arguments.clone();
                    for (index, argument) in arguments.iter().enumerate() {
                        if index > 0 {
                            fields.finish();
                            fields.present = true;
                        }
                        fields.push(argument, true);
                    }
                }
                Part::Parameter { name, operator: Operator::None } if name == "*" => {
                    let joiner = self.separators().chars().next().map_or_else(String::new, String::from);
                    let joined = self.arguments.join(&joiner);
                    fields.push(&joined, true);
                }
                Part::Parameter { name, operator: Operator::Substitute { kind, colon, word } } => {
                    match self.substitute(name, *kind, *colon, word)? {
                        Some(text) => fields.push(&text, true),
                        None => self.expand_double(word, fields)?,
                    }
                }
                Part::Double(inner) => self.expand_double(inner, fields)?,
                other => {
                    let text = self.value_of(other)?;
                    fields.push(&text, true);
                }
            }
        }
        Ok(())
    }

    fn separators(&self) -> String {
        self.get("IFS").unwrap_or_else(|| " \t\n".to_owned())
    }

    /// The value of a part that gives one string.
    fn value_of(&mut self, part: &Part) -> Expanded<String> {
        match part {
            Part::Text(text) | Part::Quoted(text) => Ok(text.clone()),
            Part::Double(inner) => self.expand_one(inner),
            Part::Command(source) => Ok(self.capture(source)),
            Part::Arithmetic(inner) => {
                let text = self.expand_one(inner)?;
                arithmetic::evaluate(&text, self).map(|value| value.to_string()).map_err(ExpandError)
            }
            Part::Parameter { name, operator } => self.parameter(name, operator),
        }
    }

    fn parameter(&mut self, name: &str, operator: &Operator) -> Expanded<String> {
        let value = self.special(name);
        if value.is_none() && self.options.nounset && !"@*".contains(name) {
            return Err(ExpandError(format!("{name}: parameter not set")));
        }
        let text = value.unwrap_or_default();
        match operator {
            Operator::None | Operator::Substitute { .. } => Ok(text),
            Operator::Length => Ok(text.chars().count().to_string()),
            Operator::Trim { suffix, longest, pattern } => {
                let pattern = self.expand_marks(pattern)?;
                Ok(trim(&text, &pattern, *suffix, *longest))
            }
            Operator::Replace { all, pattern, with } => {
                let pattern = self.expand_marks(pattern)?;
                let with = self.expand_one(with)?;
                Ok(replace(&text, &pattern, &with, *all))
            }
            Operator::Slice { offset, length } => {
                let offset = self.number(offset)?;
                let chars: Vec<char> = text.chars().collect();
                let count = i64::try_from(chars.len()).unwrap_or(i64::MAX);
                let start = if offset < 0 { (count + offset).max(0) } else { offset.min(count) };
                let end = match length {
                    None => count,
                    Some(length) => {
                        let length = self.number(length)?;
                        if length < 0 { (count + length).max(start) } else { (start + length).min(count) }
                    }
                };
                let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
                Ok(chars[range].iter().collect())
            }
        }
    }

    fn number(&mut self, word: &[Part]) -> Expanded<i64> {
        let text = self.expand_one(word)?;
        arithmetic::evaluate(&text, self).map_err(ExpandError)
    }

    /// `Some` is the parameter's value; `None` means that the word is to be used.
    fn substitute(&mut self, name: &str, kind: char, colon: bool, word: &[Part]) -> Expanded<Option<String>> {
        let value = if name == "@" || name == "*" {
            (!self.arguments.is_empty()).then(|| self.arguments.join(" "))
        } else {
            self.special(name)
        };
        let usable = value.filter(|text| !(colon && text.is_empty()));
        match (kind, usable) {
            ('+', Some(_)) => Ok(None),
            ('+', None) => Ok(Some(String::new())),
            (_, Some(text)) => Ok(Some(text)),
            ('=', None) => {
                let text = self.expand_one(word)?;
                self.set(name, text.clone());
                Ok(Some(text))
            }
            ('?', None) => {
                let text = self.expand_one(word)?;
                let text = if text.is_empty() { "parameter not set".to_owned() } else { text };
                Err(ExpandError(format!("{name}: {text}")))
            }
            (_, None) => Ok(None),
        }
    }
}

fn text_of(marks: &[Mark]) -> String {
    marks.iter().map(|(mark, _)| *mark).collect()
}

fn with_tilde(word: &[Part]) -> Vec<Part> {
    let mut word = word.to_vec();
    if let Some(Part::Text(text)) = word.first_mut()
        && let Some(rest) = text.strip_prefix('~')
        && (rest.is_empty() || rest.starts_with('/'))
    {
        let rest = rest.to_owned();
        let home = Part::Parameter { name: "HOME".to_owned(), operator: Operator::None };
        word[0] = Part::Text(rest);
        word.insert(0, Part::Double(vec![home]));
    }
    word
}

/// `{a,b}` and `{1..3}` in plain text, one level at a time.
fn braces(word: &[Part]) -> Vec<Word> {
    for (index, part) in word.iter().enumerate() {
        let Part::Text(text) = part else { continue };
        let Some(open) = text.find('{') else { continue };
        let Some(close) = matching_brace(text, open) else { continue };
        let inside = &text[open + 1..close];
        let choices = match range(inside) {
            Some(range) => range,
            None => split_commas(inside),
        };
        if choices.len() < 2 {
            continue;
        }
        return choices
            .into_iter()
            .flat_map(|choice| {
                let mut copy = word.to_vec();
                copy[index] = Part::Text(format!("{}{choice}{}", &text[..open], &text[close + 1..]));
                braces(&copy)
            })
            .collect();
    }
    vec![word.to_vec()]
}

fn matching_brace(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (index, next) in text.char_indices().skip_while(|(index, _)| *index < open) {
        match next {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn split_commas(text: &str) -> Vec<String> {
    let (mut depth, mut all) = (0, vec![String::new()]);
    for next in text.chars() {
        match next {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().expect("starts with one").push(next);
    }
    all
}

fn range(text: &str) -> Option<Vec<String>> {
    let (first, last) = text.split_once("..")?;
    let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
    let (low, high) = (first.min(last), first.max(last));
    let mut all: Vec<String> = (low..=high).map(|number| number.to_string()).collect();
    if first > last {
        all.reverse();
    }
    Some(all)
}

fn trim(text: &str, pattern: &[Mark], suffix: bool, longest: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut lengths: Vec<usize> = (0..=chars.len()).collect();
    if longest {
        lengths.reverse();
    }
    for length in lengths {
        let (part, rest) = if suffix {
            let (rest, part) = chars.split_at(chars.len() - length);
            (part, rest)
        } else {
            chars.split_at(length)
        };
        if pattern::matches(pattern, part) {
            return rest.iter().collect();
        }
    }
    text.to_owned()
}

fn replace(text: &str, pattern: &[Mark], with: &str, all: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut result, mut at, mut done) = (String::new(), 0, pattern.is_empty());
    while at < chars.len() {
        let length = (1..=chars.len() - at).rev().find(|length| !done && pattern::matches(pattern, &chars[at..at + length]));
        if let Some(length) = length {
            result.push_str(with);
            at += length;
            done = !all;
        } else {
            result.push(chars[at]);
            at += 1;
        }
    }
    result
}
