//! Where the cursor stands in a command that is being typed, and how text is put there: what Tab has to know.
//!
//! What is inserted always stands for itself: a name of a file or of an object in the cluster may hold blanks, quotes or
//! `$(...)`, and none of it is run or split. What was typed stays as it was typed; only the rest of the word is added.

use std::iter::Peekable;
use std::str::Chars;

/// The quotes that are open at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoting {
    None,
    /// After a backslash, which protects the next character already.
    Escaped,
    Single,
    Double,
    /// What follows is a parameter's name, which holds nothing that needs quotes.
    Name,
}

/// What has a meaning outside quotes.
const SPECIAL: &str = " \t'\"\\$&;()|<>*?[]`!{}";

impl Quoting {
    /// `text` as it is typed here so that it stands for itself; `first`: a word begins with it.
    pub(crate) fn protect(self, text: &str, first: bool) -> String {
        let mut out = String::new();
        for (index, next) in text.chars().enumerate() {
            match (self, next) {
                (Self::Escaped, _) if index == 0 => out.push(next),
                (Self::Single, '\'') => out.push_str("'\\''"),
                // Outside the quotes: inside, a backslash before it would stay, and without one it recalls a command.
                (Self::Double, '!') => out.push_str("\"\\!\""),
                (Self::Double, '"' | '$' | '`' | '\\') => out.extend(['\\', next]),
                // A backslash would join two lines instead.
                (Self::None | Self::Escaped, '\n') => out.push_str("'\n'"),
                (Self::None | Self::Escaped, _) if SPECIAL.contains(next) => out.extend(['\\', next]),
                (Self::None, '~' | '#') if first && index == 0 => out.extend(['\\', next]),
                _ => out.push(next),
            }
        }
        out
    }

    /// What ends a word here.
    pub(crate) fn end(self) -> &'static str {
        match self {
            Self::None | Self::Escaped => " ",
            Self::Name => "",
            Self::Single => "' ",
            Self::Double => "\" ",
        }
    }
}

/// The command that the cursor is in, as far as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its words before the one at the cursor, as a program would get them.
    pub(crate) words: Vec<String>,
    /// The word at the cursor, as a program would get it; `None` when nobody knows before it is run.
    pub(crate) word: Option<String>,
    /// Where the value begins in a word like `if=FILE` or `--namespace=NAME`.
    pub(crate) value: usize,
    /// The word names a file to read or to write.
    pub(crate) redirected: bool,
    pub(crate) quoting: Quoting,
}

/// Words after which a command begins.
const BEFORE_COMMANDS: &[&str] = &["!", "{", "do", "elif", "else", "if", "then", "until", "while"];

impl Place {
    /// Reads what stands before the cursor; `variable` gives the values of parameters.
    pub(crate) fn read(before: &str, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader { rest: before.chars().peekable(), variable, outer: Vec::new(), frame: Frame::new(None), quoting: Quoting::None };
        while let Some(next) = reader.rest.next() {
            reader.take(next);
        }
        let Reader { frame, quoting, .. } = reader;
        Self { words: frame.words, word: frame.known.then_some(frame.word), value: frame.value, redirected: frame.redirected, quoting }
    }

    /// The value in a word like `if=FILE`; elsewhere the word.
    pub(crate) fn value(&self) -> &str {
        self.word.as_deref().map_or("", |word| &word[self.value..])
    }
}

/// A command, or one inside `$(...)`.
struct Frame {
    words: Vec<String>,
    word: String,
    /// The word has begun, if only with a quote.
    begun: bool,
    /// What the word will be is known.
    known: bool,
    value: usize,
    redirected: bool,
    /// What it began with, `$(`, '`' or `(`, and the quotes its outer one goes on in.
    within: Option<(char, Quoting)>,
}

impl Frame {
    fn new(within: Option<(char, Quoting)>) -> Self {
        Self { words: Vec::new(), word: String::new(), begun: false, known: true, value: 0, redirected: false, within }
    }

    fn push(&mut self, next: char) {
        self.word.push(next);
        self.begun = true;
    }

    /// The word is complete.
    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        let assigns = self.words.is_empty() && word.split_once('=').is_some_and(|(name, _)| is_name(name));
        let leads = self.words.is_empty() && BEFORE_COMMANDS.contains(&word.as_str());
        if self.begun && !self.redirected && !assigns && !leads {
            self.words.push(word);
        }
        self.redirected &= !self.begun;
        (self.begun, self.known, self.value) = (false, true, 0);
    }

    /// The command is complete.
    fn end_command(&mut self) {
        self.end_word();
        self.words.clear();
        self.redirected = false;
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit()) && text.chars().all(in_name)
}

fn in_name(next: char) -> bool {
    next == '_' || next.is_ascii_alphanumeric()
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// The commands around this one.
    outer: Vec<Frame>,
    frame: Frame,
    quoting: Quoting,
}

impl Reader<'_> {
    fn take(&mut self, next: char) {
        match (self.quoting, next) {
            (Quoting::Single, '\'') | (Quoting::Double, '"') => self.quoting = Quoting::None,
            (Quoting::Single, _) => self.frame.push(next),
            (_, '$') => self.parameter(),
            (_, '`') => self.backquote(),
            (Quoting::Double, '\\') => self.escaped_in_double(),
            (Quoting::Double, _) => self.frame.push(next),
            _ => self.plain(next),
        }
    }

    /// Outside of quotes.
    fn plain(&mut self, next: char) {
        match next {
            '\'' | '"' => {
                self.frame.begun = true;
                self.quoting = if next == '"' { Quoting::Double } else { Quoting::Single };
            }
            '\\' => match self.rest.next() {
                Some('\n') => {}
                Some(escaped) => self.frame.push(escaped),
                None => self.quoting = Quoting::Escaped,
            },
            ' ' | '\t' => self.frame.end_word(),
            // `2>&1`, `>&file`
            '&' if self.frame.redirected && !self.frame.begun => {}
            '\n' | ';' | '|' | '&' => self.frame.end_command(),
            '<' | '>' => {
                // `2>` is no word.
                self.frame.begun &= !self.frame.word.chars().all(|next| next.is_ascii_digit());
                self.frame.end_word();
                self.frame.redirected = true;
            }
            '(' => self.enter('('),
            ')' => self.leave(),
            '#' if !self.frame.begun => {
                let ended = self.rest.by_ref().any(|next| next == '\n');
                self.frame.end_command();
                self.frame.known = ended;
            }
            '~' if !self.frame.begun && self.rest.peek() == Some(&'/') => {
                let home = (self.variable)("HOME").unwrap_or_default();
                home.chars().for_each(|next| self.frame.push(next));
            }
            // `if=FILE`, `--file=FILE`
            '=' if self.frame.word.chars().all(|next| next == '-' || in_name(next)) => {
                self.frame.push('=');
                self.frame.value = self.frame.word.len();
            }
            _ => self.frame.push(next),
        }
    }

    fn escaped_in_double(&mut self) {
        match self.rest.peek() {
            Some('\n') => drop(self.rest.next()),
            Some(&escaped @ ('$' | '`' | '\\' | '"')) => {
                self.rest.next();
                self.frame.push(escaped);
            }
            // What comes next decides what this one is.
            None => self.frame.known = false,
            Some(_) => self.frame.push('\\'),
        }
    }

    /// After a `$`.
    fn parameter(&mut self) {
        match self.rest.peek() {
            Some('(') => {
                self.rest.next();
                self.enter('$');
            }
            Some('{') => {
                self.rest.next();
                let text: String = self.rest.by_ref().take_while(|next| *next != '}').collect();
                self.value_of(&text);
            }
            Some(&next) if in_name(next) => {
                let mut name = String::new();
                while let Some(next) = self.rest.next_if(|next| in_name(*next)) {
                    name.push(next);
                }
                if self.rest.peek().is_none() {
                    self.frame = Frame { word: name, words: Vec::new(), ..Frame::new(None) };
                    self.quoting = Quoting::Name;
                } else {
                    self.value_of(&name);
                }
            }
            _ => self.frame.push('$'),
        }
    }

    fn value_of(&mut self, name: &str) {
        self.frame.begun = true;
        match (self.variable)(name).filter(|_| is_name(name)) {
            Some(value) => value.chars().for_each(|next| self.frame.push(next)),
            None => self.frame.known = false,
        }
    }

    fn backquote(&mut self) {
        if self.frame.within.is_some_and(|(sign, _)| sign == '`') { self.leave() } else { self.enter('`') }
    }

    /// A command begins inside this one.
    fn enter(&mut self, sign: char) {
        let quoting = std::mem::replace(&mut self.quoting, Quoting::None);
        self.outer.push(std::mem::replace(&mut self.frame, Frame::new(Some((sign, quoting)))));
    }

    /// It ends; what it prints nobody knows yet.
    fn leave(&mut self) {
        let Some(((sign, quoting), outer)) = self.frame.within.zip(self.outer.pop()) else { return self.frame.end_command() };
        self.frame = Frame { begun: true, known: false, ..outer };
        self.quoting = quoting;
        if sign == '(' {
            self.frame.end_command();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursors_place_is_read_as_the_shell_would_read_it() {
        let variable = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            "NS" => Some("a b".to_owned()),
            _ => None,
        };
        let unknown: Option<&str> = None;
        for (before, words, typed, quoting) in [
            ("", "", Some(""), Quoting::None),
            ("kubectl get po", "kubectl|get", Some("po"), Quoting::None),
            ("A=1 B=2 cat a\\ b 'c d'\"e\" f", "cat|a b|c de", Some("f"), Quoting::None),
            ("cat 'a b", "cat", Some("a b"), Quoting::Single),
            ("cat \"a \\\"\\x", "cat", Some("a \"\\x"), Quoting::Double),
            ("cat a\\", "cat", Some("a"), Quoting::Escaped),
            ("cat \"a\\", "cat", unknown, Quoting::Double),
            ("cat ~/x", "cat", Some("/home/me/x"), Quoting::None),
            ("cat '~/x", "cat", Some("~/x"), Quoting::Single),
            ("echo $HO", "", Some("HO"), Quoting::Name),
            ("cat \"${HOME}/x", "cat", Some("/home/me/x"), Quoting::Double),
            ("k -n $NS get \"$NS\" ", "k|-n|a b|get|a b", Some(""), Quoting::None),
            ("cat $OTHER/x", "cat", unknown, Quoting::None),
            ("cat $(ls)/x", "cat", unknown, Quoting::None),
            ("echo \"in $(cat x", "cat", Some("x"), Quoting::None),
            ("echo \"in `cat x` y", "echo", unknown, Quoting::Double),
            ("echo $(ls) y", "echo|", Some("y"), Quoting::None),
            ("a | b; c && d x", "d", Some("x"), Quoting::None),
            ("for i in 1; do kube", "", Some("kube"), Quoting::None),
            ("if ! true; then { cat x", "cat", Some("x"), Quoting::None),
            ("a 2>&1 b", "a", Some("b"), Quoting::None),
            ("a b2>c", "a|b2", Some("c"), Quoting::None),
            ("a # b", "", unknown, Quoting::None),
            ("a # b\ncat x", "cat", Some("x"), Quoting::None),
            ("dd if=x", "dd", Some("x"), Quoting::None),
            ("cat x/a=b=c", "cat", Some("x/a=b=c"), Quoting::None),
            ("(cd a; (b c); d x", "d", Some("x"), Quoting::None),
            ("a() { b x", "b", Some("x"), Quoting::None),
        ] {
            let place = Place::read(before, &variable);
            assert_eq!((place.words.join("|").as_str(), place.word.as_ref().map(|_| place.value()), place.quoting), (words, typed, quoting), "{before}");
        }
        let redirected = |before| Place::read(before, &variable).redirected;
        assert_eq!(["a > b", "a >b", "a 2>", "a > b c", "a > b; c"].map(redirected), [true, true, true, false, false]);
    }
}
