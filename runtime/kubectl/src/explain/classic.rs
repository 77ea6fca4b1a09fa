//! The text of `--output plaintext-openapiv2`, as kubectl explained things before it had templates.
// upstream: kubectl/pkg/explain/{model_printer,fields_printer,recursive_fields_printer,formatter,typename}.go

use serde_json::Value;

use super::{Asked, kind_of};

/// Lines are no longer than that, their indentation included.
const WIDTH: usize = 80;
/// Indentation of descriptions, of fields, and of each level of fields in fields.
const DESCRIPTION: usize = 5;
const FIELD: usize = 3;
const LEVEL: usize = 3;

/// The explanation, or what is wrong.
pub fn explain(document: &Value, asked: &Asked<'_>) -> Result<String, String> {
    let unknown = || {
        let group = if asked.group.is_empty() { String::new() } else { format!("{}/", asked.group) };
        format!("couldn't find resource for \"{group}{}, Resource={}\"", asked.version, asked.resource)
    };
    let kind = kind_of(document, asked).ok_or_else(unknown)?;
    let mut schemas = document["components"]["schemas"].as_object().into_iter().flatten().map(|(_, schema)| schema);
    let own = schemas.find(|schema| schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| kinds.contains(kind))).ok_or_else(unknown)?;
    let reader = Reader { document };
    let field = asked.path.iter().try_fold(own, |schema, name| reader.field(schema, name).ok_or_else(|| format!("field {name:?} does not exist")))?;
    let text = |field: &str| kind[field].as_str().unwrap_or_default();
    let group = if text("group").is_empty() { String::new() } else { format!("{}/", text("group")) };
    let mut out = format!("KIND:     {}\nVERSION:  {group}{}\n\n", text("kind"), text("version"));
    let model = reader.model(field);
    let fields = model["properties"].as_object();
    // What may be anything is passed over in silence.
    let anything = fields.is_none() && model["type"] == "object";
    if let Some(name) = asked.path.last().filter(|_| !anything) {
        let title = if fields.is_some() { "RESOURCE: " } else { "FIELD:    " };
        out.push_str(&format!("{title}{name} <{}>\n\n", reader.type_name(field)));
    }
    out.push_str("DESCRIPTION:\n");
    let mut descriptions: Vec<String> = reader.descriptions(field).iter().map(|text| wrapped(DESCRIPTION, text)).collect();
    // A map of anything says what it is, and so does the anything.
    descriptions.extend(descriptions.last().filter(|_| anything).cloned());
    out.push_str(&descriptions.join("\n"));
    if fields.is_some() {
        out.push_str("\nFIELDS:\n");
        reader.fields(model, FIELD, asked.recursive, &mut Vec::new(), &mut out);
    }
    Ok(out)
}

struct Reader<'a> {
    document: &'a Value,
}

impl<'a> Reader<'a> {
    /// What a reference points to, and its name.
    fn target(&self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let only = || schema["allOf"].as_array().and_then(|parts| parts.first()).and_then(|part| part["$ref"].as_str());
        let name = schema["$ref"].as_str().or_else(only)?;
        Some((name, self.document.pointer(name.strip_prefix('#')?)?))
    }

    /// What an array or a map is made of.
    fn element(schema: &'a Value) -> Option<&'a Value> {
        [&schema["items"], &schema["additionalProperties"]].into_iter().find(|part| part.is_object())
    }

    /// What is left when references, arrays and maps are taken off.
    fn model(&self, schema: &'a Value) -> &'a Value {
        let below = self.target(schema).map(|(_, target)| target).or_else(|| Self::element(schema));
        below.map_or(schema, |below| self.model(below))
    }

    fn field(&self, schema: &'a Value, name: &str) -> Option<&'a Value> {
        self.model(schema)["properties"].get(name)
    }

    fn type_name(&self, schema: &'a Value) -> String {
        if let Some((_, target)) = self.target(schema) {
            return self.type_name(target);
        }
        if schema["items"].is_object() {
            return format!("[]{}", self.type_name(&schema["items"]));
        }
        match schema["type"].as_str() {
            _ if schema["properties"].is_object() => "Object".to_owned(),
            _ if schema["additionalProperties"].is_object() => format!("map[string]{}", self.type_name(&schema["additionalProperties"])),
            Some("object") => "map[string]".to_owned(),
            // A number or a text is a text in version 2 of OpenAPI.
            None if [&schema["oneOf"], &schema["anyOf"]].iter().any(|kinds| kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["type"] == "string"))) => "string".to_owned(),
            kind => kind.unwrap_or_default().to_owned(),
        }
    }

    /// What is said of a field, then of what it is made of.
    fn descriptions(&self, schema: &'a Value) -> Vec<&'a str> {
        let own = schema["description"].as_str().filter(|text| !text.is_empty());
        let below = self.target(schema).map(|(_, target)| target).or_else(|| Self::element(schema));
        own.into_iter().chain(below.map(|below| self.descriptions(below)).unwrap_or_default()).collect()
    }

    /// The fields of a model; `within` are the references it is inside of, which are not shown again.
    fn fields(&self, model: &'a Value, indentation: usize, recursive: bool, within: &mut Vec<&'a str>, out: &mut String) {
        let mut properties: Vec<(&String, &Value)> = model["properties"].as_object().into_iter().flatten().collect();
        properties.sort_by_key(|(name, _)| name.as_str());
        for (name, field) in properties {
            out.push_str(&format!("{}{name}\t<{}>", " ".repeat(indentation), self.type_name(field)));
            if recursive {
                out.push('\n');
                self.below(field, indentation + LEVEL, within, out);
                continue;
            }
            let required = model["required"].as_array().is_some_and(|required| required.iter().any(|own| own == name));
            out.push_str(if required { " -required-\n" } else { "\n" });
            out.push_str(&wrapped(indentation + 2, field["description"].as_str().unwrap_or_default()));
            out.push('\n');
        }
    }

    fn below(&self, schema: &'a Value, indentation: usize, within: &mut Vec<&'a str>, out: &mut String) {
        if let Some((name, target)) = self.target(schema) {
            if !within.contains(&name) {
                within.push(name);
                self.below(target, indentation, within, out);
                within.pop();
            }
        } else if let Some(element) = Self::element(schema) {
            self.below(element, indentation, within, out);
        } else {
            self.fields(schema, indentation, true, within, out);
        }
    }
}

/// A text in lines; those that look like lists, code or the end of a thought stay on their own.
fn wrapped(indentation: usize, text: &str) -> String {
    let limit = WIDTH - indentation;
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for own in text.split('\n') {
        if own.starts_with("    ") {
            lines.extend((!line.is_empty()).then(|| std::mem::take(&mut line)));
            lines.push(own.to_owned());
            continue;
        }
        let blank = own.trim().is_empty();
        if blank || line.ends_with(':') || begins_item(own.trim()) {
            lines.extend((!line.is_empty()).then(|| std::mem::take(&mut line)));
        }
        if blank && !lines.is_empty() {
            lines.push(String::new());
        }
        for word in own.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > limit {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.extend((!line.is_empty()).then_some(line));
    let pad = " ".repeat(indentation);
    lines.iter().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{pad}{line}\n") }).collect()
}

/// `1. one`, `- one`, `* one`
fn begins_item(line: &str) -> bool {
    let digits = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let rest = if digits.len() < line.len() { digits.strip_prefix('.').or(Some(digits)) } else { line.strip_prefix(['-', '*']) };
    rest.is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_code_keep_their_lines() {
        let cases = [
            ("one two three", "   one\n   two\n   three\n"),
            ("one:\ntwo", "   one:\n   two\n"),
            ("a\n- b\n12. c\nd", "   a\n   - b\n   12. c\n   d\n"),
            ("a\n\nb\n    code", "   a\n\n   b\n       code\n"),
            ("", ""),
        ];
        for (text, wanted) in cases {
            let narrow = wrapped(WIDTH - 5, text).replace(&" ".repeat(WIDTH - 5), "   ");
            assert_eq!(narrow, wanted, "{text:?}");
        }
    }
}
