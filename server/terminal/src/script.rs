//! Cuts a block of shell text into commands that can be typed one after the other.
//!
//! A command ends where its line ends, unless a quote, a heredoc, a bracket or a `\` at the end says it goes on.
//! This is not a shell parser: where it is unsure it keeps lines together, which is always safe to paste.

/// The commands of `text`, without empty lines and comments between them.
#[must_use]
pub fn commands(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut current: Vec<&str> = Vec::new();
    let mut heredoc: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_end();
        if current.is_empty() && (line.is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        current.push(line);
        if let Some(end) = &heredoc {
            if line.trim_start_matches('\t') == end {
                heredoc = None;
            } else {
                continue;
            }
        } else {
            heredoc = heredoc_end(line);
        }
        if heredoc.is_none() && is_complete(&current.join("\n")) {
            out.push(current.join("\n"));
            current.clear();
        }
    }
    if !current.is_empty() {
        out.push(current.join("\n"));
    }
    out
}

/// The word that ends the heredoc this line begins.
fn heredoc_end(line: &str) -> Option<String> {
    let (_, after) = line.split_once("<<")?;
    if after.starts_with('<') {
        return None;
    }
    let word: String = after
        .trim_start_matches('-')
        .trim_start()
        .trim_start_matches(['\'', '"', '\\'])
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Whether a shell would run this now instead of asking for more.
fn is_complete(text: &str) -> bool {
    let (mut quote, mut depth, mut escaped) = (None, 0i32, false);
    for c in text.chars() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (Some(q), c) if q == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '{') => depth += 1,
            (None, ')' | '}') => depth -= 1,
            _ => {}
        }
    }
    let words = |word: &str| text.split([' ', '\n', ';', '\t']).filter(|w| *w == word).count();
    let blocks = words("do") <= words("done") && words("then") <= words("fi") && words("case") <= words("esac");
    let goes_on = text.ends_with('|') || text.ends_with("&&");
    quote.is_none() && depth <= 0 && !escaped && blocks && !goes_on
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_cut_where_a_shell_would_run_them() {
        let cases: [(&str, &[&str]); 9] = [
            ("kubectl get pods\n", &["kubectl get pods"]),
            ("a\n\n# note\nb\n", &["a", "b"]),
            ("a \\\n  --b\nc", &["a \\\n  --b", "c"]),
            ("cat <<EOF\nx\n\nEOF\nb", &["cat <<EOF\nx\n\nEOF", "b"]),
            ("cat <<-'EOF'\n\tx\n\tEOF\nb", &["cat <<-'EOF'\n\tx\n\tEOF", "b"]),
            ("echo 'one\ntwo'\nb", &["echo 'one\ntwo'", "b"]),
            ("for i in 1 2; do\n echo $i\ndone\nb", &["for i in 1 2; do\n echo $i\ndone", "b"]),
            ("kubectl get pods |\n wc -l", &["kubectl get pods |\n wc -l"]),
            ("kubectl get -o jsonpath='{.items[0]}'\nb", &["kubectl get -o jsonpath='{.items[0]}'", "b"]),
        ];
        for (text, expected) in cases {
            assert_eq!(commands(text), expected, "{text:?}");
        }
    }
}
