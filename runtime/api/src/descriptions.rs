//! What kinds and fields mean, in our own words: what `kubectl explain` prints.
//!
//! One paragraph of lines per definition: `# core.v1.Pod What it is.`, then `field: What it does.` A definition or field that is not
//! here keeps the words of its schema.

use std::{collections::HashMap, sync::OnceLock};

/// The table.
pub(crate) const TEXT: &str = include_str!("descriptions.txt");

/// The words for a field of a definition, or for the definition itself (`*`); empty if there are none.
pub(crate) fn of(definition: &str, field: &str) -> &'static str {
    type Table = HashMap<(&'static str, &'static str), &'static str>;
    static TABLE: OnceLock<Table> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        let mut current = "";
        for line in TEXT.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let (name, words) = rest.split_once(' ').unwrap_or((rest, ""));
                current = name;
                table.insert((current, "*"), words);
            } else if let Some((field, words)) = line.split_once(": ") {
                table.insert((current, field), words);
            }
        }
        table
    });
    table.get(&(definition, field)).copied().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{registry::Registry, schema};

    #[test]
    fn every_line_describes_a_field_that_exists() {
        let registry = Registry::builtin();
        assert!(registry.rows().count() > 15);
        let mut definition = None;
        for line in TEXT.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let short = rest.split(' ').next().unwrap();
                definition = [
                    "io.k8s.api.",
                    "io.k8s.apimachinery.pkg.apis.",
                    "io.k8s.apimachinery.pkg.",
                ]
                .iter()
                .find_map(|prefix| schema::json_definition(&format!("{prefix}{short}")));
            } else if let (Some((field, words)), Some(definition)) =
                (line.split_once(": "), &definition)
            {
                assert!(
                    definition
                        .pointer(&format!("/properties/{field}"))
                        .is_some(),
                    "{line}"
                );
                assert!(words.ends_with('.') && words.len() > 3, "{line}");
            }
        }
    }
}
