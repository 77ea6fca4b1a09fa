//! Indenting JSON as it came: no value is reordered or rewritten.
// upstream: encoding/json, Indent with four spaces

/// Indent valid JSON.
pub(super) fn indent(json: &str) -> String {
    let (mut out, mut depth, mut chars) = (String::new(), 0usize, json.chars().peekable());
    let mut in_text = false;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    while let Some(next) = chars.next() {
        if in_text {
            out.push(next);
            match next {
                '\\' => out.extend(chars.next()),
                '"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match next {
            '"' => {
                in_text = true;
                out.push(next);
            }
            '{' | '[' => {
                out.push(next);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(next);
            }
            ',' => {
                out.push(next);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_stay_as_they_are() {
        let text = r#"{"b":[1,{}],"a":"x,\"{y","c":[ ]}"#;
        assert_eq!(super::indent(text), "{\n    \"b\": [\n        1,\n        {}\n    ],\n    \"a\": \"x,\\\"{y\",\n    \"c\": []\n}");
    }
}
