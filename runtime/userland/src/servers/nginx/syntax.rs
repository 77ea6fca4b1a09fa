//! nginx's configuration language: words, quotes, comments, blocks and `include`.

use std::path::{Path, PathBuf};

use crate::shell::pattern;

/// A directive as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) words: Vec<String>,
    /// What stands between its braces.
    pub(super) block: Option<Vec<Directive>>,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

impl Directive {
    /// A complaint about this directive, with its place.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> String {
        format!("{message} in {}:{}", self.file.display(), self.line)
    }

    /// The first word, or a complaint in nginx's words.
    pub(super) fn word(&self) -> Result<&str, String> {
        self.words.first().map(String::as_str).ok_or_else(|| self.error(format!("invalid number of arguments in \"{}\" directive", self.name)))
    }

    /// True for `on`.
    pub(super) fn is_on(&self) -> Result<bool, String> {
        match self.word()? {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(self.error(format!("invalid value \"{other}\" in \"{}\" directive, it must be \"on\" or \"off\"", self.name))),
        }
    }
}

/// Reads a file and all it includes.
pub(super) fn read(path: &Path) -> Result<Vec<Directive>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let number = error.raw_os_error().unwrap_or(0);
        format!("open() \"{}\" failed ({number}: {})", path.display(), crate::sys::reason(&error))
    })?;
    parse(&text, path)
}

fn parse(text: &str, file: &Path) -> Result<Vec<Directive>, String> {
    let tokens = tokens(text).map_err(|(message, line)| format!("{message} in {}:{line}", file.display()))?;
    let mut parser = Parser { tokens: &tokens, at: 0, file };
    let directives = parser.block(false)?;
    Ok(directives)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, (String, usize)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '\n' => line += 1,
            _ if next.is_whitespace() => {}
            '#' => while chars.next_if(|next| *next != '\n').is_some() {},
            '{' => tokens.push((Token::Open, line)),
            '}' => tokens.push((Token::Close, line)),
            ';' => tokens.push((Token::End, line)),
            '"' | '\'' => {
                let begun = line;
                let mut word = String::new();
                loop {
                    match chars.next() {
                        None => return Err(("unexpected end of file, expecting \";\" or \"}\"".to_owned(), begun)),
                        Some(end) if end == next => break,
                        Some('\\') => match chars.peek().copied().and_then(escape) {
                            Some(meant) => {
                                word.push(meant);
                                chars.next();
                            }
                            None => word.push('\\'),
                        },
                        Some(other) => {
                            line += usize::from(other == '\n');
                            word.push(other);
                        }
                    }
                }
                tokens.push((Token::Word(word), begun));
            }
            _ => {
                let mut word = String::from(next);
                let mut escaped = next == '\\';
                // A brace belongs to a word only as part of `${name}`.
                while let Some(&after) = chars.peek() {
                    let variable = after == '{' && word.ends_with('$');
                    let closes = after == '}' && word.rfind("${").is_some_and(|open| !word[open..].contains('}'));
                    if !escaped && (after.is_whitespace() || after == ';' || ((after == '{' || after == '}') && !variable && !closes)) {
                        break;
                    }
                    escaped = after == '\\' && !escaped;
                    word.push(after);
                    chars.next();
                }
                tokens.push((Token::Word(word), line));
            }
        }
    }
    Ok(tokens)
}

/// What a backslash and this character mean together; before others it stands for itself.
fn escape(after: char) -> Option<char> {
    match after {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        '"' | '\'' | '\\' => Some(after),
        _ => None,
    }
}

struct Parser<'a> {
    tokens: &'a [(Token, usize)],
    at: usize,
    file: &'a Path,
}

impl Parser<'_> {
    fn error(&self, message: &str) -> String {
        let line = self.tokens.get(self.at.saturating_sub(1)).map_or(1, |(_, line)| *line);
        format!("{message} in {}:{line}", self.file.display())
    }

    /// Directives up to the closing brace, or to the end of the file.
    fn block(&mut self, inside: bool) -> Result<Vec<Directive>, String> {
        let mut directives = Vec::new();
        loop {
            let Some((token, line)) = self.tokens.get(self.at) else {
                return if inside { Err(self.error("unexpected end of file, expecting \"}\"")) } else { Ok(directives) };
            };
            self.at += 1;
            match token {
                Token::Close if inside => return Ok(directives),
                Token::Close => return Err(self.error("unexpected \"}\"")),
                Token::Open => return Err(self.error("unexpected \"{\"")),
                Token::End => return Err(self.error("unexpected \";\"")),
                Token::Word(name) => {
                    let directive = self.directive(name.clone(), *line)?;
                    if directive.name == "include" && directive.block.is_none() {
                        directives.extend(self.include(&directive)?);
                    } else {
                        directives.push(directive);
                    }
                }
            }
        }
    }

    fn directive(&mut self, name: String, line: usize) -> Result<Directive, String> {
        let mut words = Vec::new();
        loop {
            let Some((token, _)) = self.tokens.get(self.at) else {
                return Err(self.error("unexpected end of file, expecting \";\" or \"}\""));
            };
            self.at += 1;
            let block = match token {
                Token::Word(word) => {
                    words.push(word.clone());
                    continue;
                }
                Token::End => None,
                Token::Open => Some(self.block(true)?),
                Token::Close => return Err(self.error("unexpected \"}\"")),
            };
            return Ok(Directive { name, words, block, file: self.file.to_owned(), line });
        }
    }

    /// The directives of the files a pattern names; a plain name must exist.
    fn include(&self, directive: &Directive) -> Result<Vec<Directive>, String> {
        let base = self.file.parent().unwrap_or(Path::new("/"));
        let pattern = base.join(directive.word()?);
        let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.contains(['*', '?', '[']) {
            return read(&pattern).map_err(|message| directive.error(message));
        }
        let directory = pattern.parent().unwrap_or(base);
        let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|found| !found.starts_with('.') && fits(name, found)));
        paths.sort();
        let mut all = Vec::new();
        for path in paths {
            all.extend(read(&path)?);
        }
        Ok(all)
    }
}

fn fits(glob: &str, name: &str) -> bool {
    pattern::matches(&pattern::marks(glob), &name.chars().collect::<Vec<char>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_quotes_comments_and_variables_are_read() {
        let text = "user nginx; # who\nhttp {\n  map $a $b { default \"x\\ty\"; ~^im 'it\\'s'; }\n  return 200 ${host}ly;\n}\n";
        let read = parse(text, Path::new("/n.conf")).unwrap();
        assert_eq!(read.len(), 2);
        let http = read[1].block.as_ref().unwrap();
        assert_eq!((http[0].name.as_str(), http[0].line), ("map", 3));
        let map = http[0].block.as_ref().unwrap();
        assert_eq!(map[0].words, ["x\ty"]);
        assert_eq!((map[1].name.as_str(), map[1].words[0].as_str()), ("~^im", "it's"));
        assert_eq!(http[1].words, ["200", "${host}ly"]);
    }

    #[test]
    fn mistakes_are_placed() {
        let cases = [
            ("http {\n", "unexpected end of file, expecting \"}\" in /n.conf:1"),
            ("http {\n}\n}\n", "unexpected \"}\" in /n.conf:3"),
            ("user nginx\n", "unexpected end of file, expecting \";\" or \"}\" in /n.conf:1"),
            ("a \"b\n", "unexpected end of file, expecting \";\" or \"}\" in /n.conf:1"),
            (";", "unexpected \";\" in /n.conf:1"),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text, Path::new("/n.conf")).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    fn includes_take_all_files_of_a_pattern() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("b.conf", "two;"), ("a.conf", "one;"), ("c.txt", "no;")] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let main = directory.path().join("main");
        std::fs::write(&main, "include *.conf; include none/*.conf; include c.txt;").unwrap();
        let names: Vec<String> = read(&main).unwrap().into_iter().map(|directive| directive.name).collect();
        assert_eq!(names, ["one", "two", "no"]);
        std::fs::write(&main, "include missing;").unwrap();
        assert!(read(&main).unwrap_err().contains("failed (2: No such file or directory)"));
    }
}
