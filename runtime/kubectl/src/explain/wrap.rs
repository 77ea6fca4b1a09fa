//! Lines of at most so many letters, broken between words.
// upstream: github.com/mitchellh/go-wordwrap, as kubectl/pkg/util/term uses it

/// Break a text; line breaks and other spaces of its own are kept.
pub(super) fn wrap(limit: usize, text: &str) -> String {
    let mut wrapped = Wrapped { limit, out: String::with_capacity(text.len() + text.len() / 40), column: 0, word: String::new(), space: String::new() };
    text.chars().for_each(|char| wrapped.take(char));
    wrapped.finish()
}

struct Wrapped {
    limit: usize,
    out: String,
    column: usize,
    word: String,
    space: String,
}

impl Wrapped {
    fn take(&mut self, char: char) {
        if char == '\n' {
            if !self.word.is_empty() || self.column + length(&self.space) <= self.limit {
                self.commit();
            }
            self.space.clear();
            self.out.push('\n');
            self.column = 0;
        } else if char.is_whitespace() && char != '\u{a0}' {
            if self.space.is_empty() || !self.word.is_empty() {
                self.commit();
            }
            self.space.push(char);
        } else {
            self.word.push(char);
            let word = length(&self.word);
            if self.column + length(&self.space) + word > self.limit && word < self.limit {
                self.out.push('\n');
                self.column = 0;
                self.space.clear();
            }
        }
    }

    /// What was held back fits.
    fn commit(&mut self) {
        self.column += length(&self.space) + length(&self.word);
        self.out.push_str(&std::mem::take(&mut self.space));
        self.out.push_str(&std::mem::take(&mut self.word));
    }

    fn finish(mut self) -> String {
        if !self.word.is_empty() || self.column + length(&self.space) <= self.limit {
            self.commit();
        }
        self.out
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        let cases = [
            (10, "short", "short"),
            (10, "one two three four", "one two\nthree four"),
            (10, "a\nb c", "a\nb c"),
            (5, "incredibly long", "incredibly\nlong"),
            (10, "ends\n", "ends\n"),
            (10, "  kept  spaces", "  kept\nspaces"),
        ];
        for (limit, text, wanted) in cases {
            assert_eq!(wrap(limit, text), wanted, "{text:?}");
        }
    }
}
