//! Lists: a table, a template for each line, or JSON.
// upstream: cli/command/formatter/formatter.go

use std::io::Write;

use serde_json::{Map, Value};

use super::Failure;
use super::columns::align;
use super::template::{Template, TemplateError};

/// One line of a list: fields by name, and what `.Label "x"` finds.
pub(super) struct Row {
    /// Fields as templates name them.
    pub(super) fields: Map<String, Value>,
    /// Labels of the thing.
    pub(super) labels: Map<String, Value>,
}

/// How a list is printed.
pub(super) struct Format<'a> {
    /// What was given to `--format`, or nothing.
    pub(super) given: Option<&'a str>,
    /// The template of the table without it.
    pub(super) table: &'a str,
    /// Titles of the fields.
    pub(super) titles: &'a [(&'a str, &'a str)],
}

/// Print a list.
pub(super) fn print(out: &mut dyn Write, format: &Format<'_>, rows: &[Row]) -> Result<(), Failure> {
    let (template, is_table) = match format.given {
        None | Some("" | "table") => (format.table, true),
        Some("json") => ("{{json .}}", false),
        Some(given) => match given.strip_prefix("table") {
            Some(template) => (template.trim_start(), true),
            None => (given, false),
        },
    };
    let source = template.replace("\\t", "\t").replace("\\n", "\n");
    let parsed = Template::parse(&source).map_err(problem)?;
    let mut text = String::new();
    if is_table {
        let titles: Map<String, Value> = format.titles.iter().map(|(field, title)| ((*field).to_owned(), Value::from(*title))).collect();
        text.push_str(&parsed.render_with(&Value::Object(titles), &|name, args| (name == "Label").then(|| label_title(args))).map_err(problem)?);
        text.push('\n');
    }
    for row in rows {
        let label = |name: &str, args: &[Value]| (name == "Label").then(|| args.first().and_then(Value::as_str).and_then(|key| row.labels.get(key)).cloned().unwrap_or_else(|| "".into()));
        text.push_str(&parsed.render_with(&Value::Object(row.fields.clone()), &label).map_err(problem)?);
        text.push('\n');
    }
    Ok(out.write_all(if is_table { align(&text) } else { text }.as_bytes())?)
}

/// `com.docker.swarm.node-id` is headed by `node id`.
fn label_title(args: &[Value]) -> Value {
    let name = args.first().and_then(Value::as_str).unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or(name);
    last.replace(['-', '_'], " ").into()
}

fn problem(error: TemplateError) -> Failure {
    Failure::Message(error.to_string())
}
