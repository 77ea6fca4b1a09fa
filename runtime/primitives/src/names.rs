//! Names and labels: what may be written and how a refusal reads.
//!
//! Each check answers with upstream's messages; an empty list means the text is fine.

use rand::Rng;

/// Longest DNS label.
pub const DNS_LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const DNS_SUBDOMAIN_MAX: usize = 253;
/// Letters of generated names: no vowels and no look-alikes.
// upstream: apimachinery/pkg/util/rand/rand.go
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

/// `base` with a random suffix of five letters, cut so that the whole fits a DNS label.
// upstream: apiserver/pkg/storage/names/generate.go
pub fn generate(base: &str) -> String {
    let mut cut = base.len().min(DNS_LABEL_MAX - SUFFIX_LENGTH);
    while !base.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{}", &base[..cut], random_suffix(SUFFIX_LENGTH))
}

/// `length` random letters from the alphabet of generated names.
pub fn random_suffix(length: usize) -> String {
    let mut random = rand::rng();
    (0..length).map(|_| char::from(SUFFIX_LETTERS[random.random_range(0..SUFFIX_LETTERS.len())])).collect()
}

/// Maps every character onto the alphabet of generated names, so that a hash is a safe name.
// upstream: apimachinery/pkg/util/rand/rand.go SafeEncodeString
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|byte| char::from(SUFFIX_LETTERS[usize::from(byte) % SUFFIX_LETTERS.len()])).collect()
}

/// The message for a text longer than `length` bytes.
pub fn max_length_error(length: usize) -> String {
    format!("must be no more than {length} bytes")
}

/// The message for a text that must not be empty.
pub fn empty_error() -> String {
    "must be non-empty".into()
}

/// The message for a text that does not match a pattern.
// upstream: apimachinery/pkg/util/validation/validation.go RegexError
pub fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    let mut text = message.to_owned();
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{pattern}')");
    }
    text.push_str(" (e.g. ");
    for (index, example) in examples.iter().enumerate() {
        if index > 0 {
            text.push_str(" or ");
        }
        text.push_str(&format!("'{example}', "));
    }
    format!("{text}regex used for validation is '{pattern}')")
}

/// A DNS label: `my-name`.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, DNS_LABEL_MAX);
    if !is_dns1123_label(text) {
        let message = if is_dns1123_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            )
        };
        errors.push(message);
    }
    errors
}

/// A DNS subdomain: `example.com`.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = too_long(text, DNS_SUBDOMAIN_MAX);
    if !is_dns1123_subdomain(text) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            DNS1123_SUBDOMAIN,
            &["example.com"],
        ));
    }
    errors
}

/// A DNS label that starts with a letter, as Services need.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, DNS_LABEL_MAX);
    if !(is_dns1123_label(text) && text.starts_with(|letter: char| letter.is_ascii_lowercase())) {
        errors.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            DNS1035_LABEL,
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// A label or annotation key: `app` or `example.com/app`.
pub fn qualified_name(text: &str) -> Vec<String> {
    let message = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let shape = regex_error(message, QUALIFIED, &["MyName", "my.name", "123-abc"]);
    let mut errors = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {}", empty_error()));
            } else {
                errors.extend(dns1123_subdomain(prefix).into_iter().map(|error| format!("prefix part {error}")));
            }
            name
        }
        _ => {
            errors.push(format!("a qualified name {shape} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"));
            return errors;
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {}", empty_error()));
    } else if name.len() > DNS_LABEL_MAX {
        errors.push(format!("name part {}", max_length_error(DNS_LABEL_MAX)));
    }
    if !is_qualified_part(name) {
        errors.push(format!("name part {shape}"));
    }
    errors
}

/// A label value; may be empty.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = too_long(text, DNS_LABEL_MAX);
    if !text.is_empty() && !is_qualified_part(text) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            LABEL_VALUE,
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A port name: `http`.
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 15 {
        errors.push("must be no more than 15 characters".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = too_long(text, DNS_SUBDOMAIN_MAX);
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(fine) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex_error(message, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match text {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// A segment of a URL path, the loosest rule for a name.
// upstream: apimachinery/pkg/api/validation/path/name.go
pub fn path_segment(text: &str) -> Vec<String> {
    match text {
        "." | ".." => return vec![format!("may not be '{text}'")],
        _ => {}
    }
    ["/", "%"].iter().filter(|part| text.contains(**part)).map(|part| format!("may not contain '{part}'")).collect()
}

fn too_long(text: &str, length: usize) -> Vec<String> {
    if text.len() > length { vec![max_length_error(length)] } else { Vec::new() }
}

fn is_dns1123_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_dns1123_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns1123_label)
}

fn is_qualified_part(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_upstream() {
        assert_eq!(
            dns1123_subdomain("Web"),
            ["a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
              alphanumeric character (e.g. 'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]
        );
        assert_eq!(
            dns1035_label("1a"),
            ["a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an \
              alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        for fine in ["app", "app.kubernetes.io/name", "A_b.c"] {
            assert!(qualified_name(fine).is_empty(), "{fine}");
        }
        assert!(label_value("").is_empty());
        assert!(!label_value("a b").is_empty());
    }

    #[test]
    fn generated_names_fit_a_label() {
        let name = generate(&"a".repeat(80));
        assert_eq!(name.len(), 63);
        assert!(generate("web-").starts_with("web-"));
        assert!(random_suffix(500).bytes().all(|letter| SUFFIX_LETTERS.contains(&letter)));
    }
}
