//! Texts as documents: JSON when the first letter is a brace, YAML otherwise; mistakes are told in the words of Go's readers.
// upstream: apimachinery/pkg/util/yaml/decoder.go, encoding/json/scanner.go, goyaml scannerc.go

use serde_json::Value;

/// A document and how it is quoted in messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) shown: String,
}

/// The documents of a text, and what ends them early.
pub(super) fn documents(text: &str) -> (Vec<Document>, Option<String>) {
    if text.trim_start().starts_with('{') { json(text) } else { yaml(text) }
}

fn json(text: &str) -> (Vec<Document>, Option<String>) {
    let mut found = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut start = 0;
    while let Some(value) = stream.next() {
        match value {
            Ok(value) => {
                let end = stream.byte_offset();
                found.push(Document { value, shown: text[start..end].trim().to_owned() });
                start = end;
            }
            Err(error) if error.is_eof() => return (found, Some("unexpected EOF".to_owned())),
            Err(_) => return (found, Some(Scanner::complaint(text, start).unwrap_or_else(|| "unexpected EOF".to_owned()))),
        }
    }
    (found, None)
}

/// Documents are divided before they are read, so that lines are counted from each one's start.
fn yaml(text: &str) -> (Vec<Document>, Option<String>) {
    let (mut parts, mut wrong) = (vec![String::new()], None);
    for line in text.lines() {
        let after = line.strip_prefix("---").map(str::trim);
        if let Some(after) = after.filter(|after| !after.is_empty() && !after.starts_with('#')) {
            // What stands before it in the same document is not read any more.
            parts.pop();
            wrong = Some(format!("invalid Yaml document separator: {after}"));
            break;
        }
        if after.is_some() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    let mut found = Vec::new();
    for part in parts {
        match read_yaml(&part) {
            Ok(value) => found.push(Document { shown: crate::print::json::compact(&value), value }),
            Err(why) => return (found, Some(format!("error converting YAML to JSON: {why}"))),
        }
    }
    (found, wrong)
}

/// Letters that are in no YAML. upstream: goyaml readerc.go yaml_parser_update_buffer
fn is_control(letter: char) -> bool {
    !matches!(letter, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// What is wrong with the lines that begin with a per cent sign.
// upstream: goyaml scannerc.go yaml_parser_scan_directive, parserc.go yaml_parser_process_directives
fn directive(text: &str) -> Option<String> {
    let at = |line: usize| if line == 0 { String::new() } else { format!("line {}: ", line + 1) };
    let mut directed = false;
    for (number, line) in text.lines().enumerate() {
        let Some(words) = line.strip_prefix('%') else {
            match line.trim() {
                "" => continue,
                comment if comment.starts_with('#') => continue,
                _ if line.starts_with("---") => return None,
                _ if directed => return Some(format!("yaml: line {number}: did not find expected <document start>")),
                _ => return None,
            }
        };
        let name = words.split(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_')).next().unwrap_or_default();
        match name {
            "" => return Some(format!("yaml: {}could not find expected directive name", at(number))),
            "YAML" if words["YAML".len()..].trim() != "1.1" => return Some("yaml: found incompatible YAML document".to_owned()),
            "YAML" | "TAG" => directed = true,
            _ => return Some(format!("yaml: {}found unknown directive name", at(number))),
        }
    }
    directed.then(|| format!("yaml: line {}: did not find expected <document start>", text.lines().count()))
}

/// One YAML document, or what goyaml says of it.
pub fn read_yaml(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains(is_control) {
        return Err("yaml: control characters are not allowed".to_owned());
    }
    if let Some(why) = directive(text) {
        return Err(why);
    }
    const TAB: &str = "found character that cannot start any token";
    let numbered = || text.lines().enumerate().map(|(index, line)| (index + 1, line));
    if let Some((line, _)) = numbered().find(|(_, line)| !line.trim().is_empty()).filter(|(_, line)| line.starts_with('\t')) {
        return Err(if line == 1 { format!("yaml: {TAB}") } else { format!("yaml: line {line}: {TAB}") });
    }
    drydock_primitives::yaml::parse(text).map_err(|error| {
        let said = error.to_string();
        if said.contains("anchor") {
            let alias = regex::Regex::new(r"(?m)(?:^|[\s\[,{])\*([\w-]+)").ok().and_then(|alias| Some(alias.captures(text)?.get(1)?.as_str()));
            let Some(name) = alias else { return "yaml: did not find expected alphabetic or numeric character".to_owned() };
            if regex::Regex::new(&format!(r"&{name}\b")).is_ok_and(|anchor| anchor.is_match(text)) {
                return format!("yaml: anchor '{name}' value contains itself");
            }
            return format!("yaml: unknown anchor '{name}' referenced");
        }
        if said.contains("unexpected end of stream") && said.contains("quoted") {
            return format!("yaml: line {}: found unexpected end of stream", text.matches('\n').count() + 1);
        }
        if said.contains("found a tab") {
            let line = numbered().find(|(_, line)| line.starts_with('\t')).map_or(1, |(line, _)| line);
            return format!("yaml: line {line}: found a tab character that violates indentation");
        }
        yaml_error(&error)
    })
}

/// What goyaml says: no context, and for the parser's own complaints lines counted from zero.
fn yaml_error(error: &drydock_primitives::yaml::Error) -> String {
    let drydock_primitives::yaml::Error::Syntax { line, message } = error else { return error.to_string() };
    let (line, problem) = match message.split_once(", ").filter(|(context, _)| context.starts_with("while ")) {
        Some((context, problem)) if context.starts_with("while parsing") && !context.contains("quoted scalar") => (line.saturating_sub(1), problem),
        Some((_, problem)) => (if *line == 1 { 0 } else { *line }, problem),
        None if message.starts_with("invalid trailing content") => (line.saturating_sub(1), message.as_str()),
        // The scanner counts from one, and does not count the first line.
        None if *line == 1 => (0, message.as_str()),
        None => (*line, message.as_str()),
    };
    let problem = match problem {
        "expected ',' or ']'" => "did not find expected ',' or ']'",
        "expected ',' or '}'" => "did not find expected ',' or '}'",
        "did not find expected hexadecimal number" => "did not find expected hexdecimal number",
        "missing explicit document end marker before directive" => "found unknown directive name",
        trailing if trailing.starts_with("invalid trailing content") => "did not find expected key",
        "simple key expect ':'" => "could not find expected ':'",
        bad if bad.starts_with("tabs disallowed") || bad.starts_with("unexpected character: ") => "found character that cannot start any token",
        other => other,
    };
    if line == 0 { format!("yaml: {problem}") } else { format!("yaml: line {line}: {problem}") }
}

/// What Go says of broken JSON.
pub fn go_json_error(text: &str) -> String {
    Scanner::first_wrong(text, 0).map_or_else(|| "unexpected end of JSON input".to_owned(), |(_, why)| why)
}

/// Deeper is not read, by `serde_json` neither. Go's own limit is 10,000.
const DEEPEST: usize = 128;

/// Finds the first letter that cannot be in JSON, as Go's scanner finds it.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Scanner<'_> {
    /// `json: offset 2: invalid character 'b' looking for ...`; nothing when the text only ends too early.
    fn complaint(text: &str, start: usize) -> Option<String> {
        let (at, why) = Scanner::first_wrong(text, start)?;
        Some(format!("json: offset {}: {why}", at + 1))
    }

    /// Where the first wrong letter is, and `invalid character 'b' looking for ...`.
    fn first_wrong(text: &str, start: usize) -> Option<(usize, String)> {
        let mut scanner = Scanner { bytes: text.as_bytes(), at: start, depth: 0 };
        let context = scanner.value().err().filter(|context| !context.is_empty())?;
        let letter = text[scanner.at..].chars().next()?;
        let quoted = match letter {
            '\'' => r"'\''".to_owned(),
            '"' => "'\"'".to_owned(),
            other => format!("'{}'", crate::print::go::quote(&other.to_string()).trim_matches('"')),
        };
        Some((scanner.at, format!("invalid character {quoted} {context}")))
    }

    /// The next letter; the end is no complaint.
    fn peek(&self) -> Result<u8, String> {
        self.bytes.get(self.at).copied().ok_or_else(String::new)
    }

    fn spaces(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at += 1;
        }
    }

    fn expect(&mut self, fits: impl Fn(u8) -> bool, context: &str) -> Result<u8, String> {
        let byte = self.peek()?;
        if !fits(byte) {
            return Err(context.to_owned());
        }
        self.at += 1;
        Ok(byte)
    }

    fn value(&mut self) -> Result<(), String> {
        self.spaces();
        match self.peek()? {
            b'{' | b'[' if self.depth == DEEPEST => Err("exceeded max depth".to_owned()),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err("looking for beginning of value".to_owned()),
        }
    }

    fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.depth += 1;
        let read = inside(self);
        self.depth -= 1;
        read
    }

    fn object(&mut self) -> Result<(), String> {
        self.at += 1;
        self.spaces();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.spaces();
            if self.peek()? != b'"' {
                return Err("looking for beginning of object key string".to_owned());
            }
            self.string()?;
            self.spaces();
            self.expect(|byte| byte == b':', "after object key")?;
            self.value()?;
            self.spaces();
            if self.expect(|byte| byte == b',' || byte == b'}', "after object key:value pair")? == b'}' {
                return Ok(());
            }
        }
    }

    fn array(&mut self) -> Result<(), String> {
        self.at += 1;
        self.spaces();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            self.spaces();
            if self.expect(|byte| byte == b',' || byte == b']', "after array element")? == b']' {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.expect(|byte| byte >= 0x20, "in string literal")? {
                b'"' => return Ok(()),
                b'\\' if self.expect(|byte| b"bfnrt\\/\"u".contains(&byte), "in string escape code")? == b'u' => {
                    for _ in 0..4 {
                        self.expect(|byte| byte.is_ascii_hexdigit(), "in \\u hexadecimal character escape")?;
                    }
                }
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        if self.expect(|byte| byte.is_ascii_digit(), "in numeric literal")? != b'0' {
            self.digits();
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.expect(|byte| byte.is_ascii_digit(), "after decimal point in numeric literal")?;
            self.digits();
        }
        if self.bytes.get(self.at).is_some_and(|byte| b"eE".contains(byte)) {
            self.at += 1;
            if self.bytes.get(self.at).is_some_and(|byte| b"+-".contains(byte)) {
                self.at += 1;
            }
            self.expect(|byte| byte.is_ascii_digit(), "in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for letter in word.bytes() {
            self.expect(|byte| byte == letter, &format!("in literal {word} (expecting '{}')", char::from(letter)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_told_as_go_tells_it() {
        let cases = [
            ("{broken", "json: offset 2: invalid character 'b' looking for beginning of object key string"),
            ("{\"kind\": tru }", "json: offset 13: invalid character ' ' in literal true (expecting 'e')"),
            ("{\"kind\": \"a\\q\" }", "json: offset 13: invalid character 'q' in string escape code"),
            ("{\"kind\": [1, 2 3] }", "json: offset 16: invalid character '3' after array element"),
            ("{\"kind\": 01 }", "json: offset 11: invalid character '1' after object key:value pair"),
            ("{\"a\" 1}", "json: offset 6: invalid character '1' after object key"),
            ("{\"a\": \"x\n\"}", "json: offset 9: invalid character '\\n' in string literal"),
            ("{\"a\": 1}x", "json: offset 9: invalid character 'x' looking for beginning of value"),
            ("{\"a\": ", "unexpected EOF"),
            ("a: \"x\n", "error converting YAML to JSON: yaml: line 2: found unexpected end of stream"),
            ("b: 1\na: *x\n", "error converting YAML to JSON: yaml: unknown anchor 'x' referenced"),
            ("b: \"*/5 *\"\na: *x\n", "error converting YAML to JSON: yaml: unknown anchor 'x' referenced"),
            ("b: 1\n\ta: x\n", "error converting YAML to JSON: yaml: line 2: found a tab character that violates indentation"),
            ("\ta: x\n", "error converting YAML to JSON: yaml: found character that cannot start any token"),
            ("x: 1\ny\n", "error converting YAML to JSON: yaml: line 3: could not find expected ':'"),
            ("x: @a\n", "error converting YAML to JSON: yaml: found character that cannot start any token"),
        ];
        for (text, wanted) in cases {
            assert_eq!(documents(text).1.as_deref(), Some(wanted), "{text}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(200_000));
        assert_eq!(documents(&deep).1.as_deref(), Some("json: offset 133: invalid character '[' exceeded max depth"));
        assert_eq!(go_json_error("[1 2]"), "invalid character '2' after array element");
        assert_eq!(documents("{\"a\": 1} {\"b\": 2}").0.len(), 2);
    }
}
