//! `-o custom-columns`.
// upstream: kubectl/pkg/cmd/get/customcolumn.go

use serde_json::Value;

use super::{go, table};
use crate::jsonpath::{JsonPath, relaxed};

/// Columns people chose.
#[derive(Debug, Clone)]
pub struct Columns {
    columns: Vec<(String, Result<JsonPath, String>)>,
    /// Columns of a file always have headers: stock kubectl forgets `--no-headers` there.
    from_file: bool,
}

impl Columns {
    /// `NAME:.metadata.name,IMAGE:.spec.image`
    pub fn parse(spec: &str) -> Result<Self, String> {
        if spec.is_empty() {
            return Err("custom-columns format specified but no custom columns given".to_owned());
        }
        let mut columns = Vec::new();
        for part in spec.split(',') {
            let (header, path) = part.split_once(':').ok_or_else(|| format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"))?;
            columns.push((header.to_owned(), column(path)?));
        }
        Ok(Self { columns, from_file: false })
    }

    /// Headers on the first line, paths on the second.
    pub fn parse_file(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let (headers, paths) = match (lines.next(), lines.next()) {
            (Some(headers), Some(paths)) => (headers, paths),
            (None, _) => return Err("invalid template, missing header line. Expected format is one line of space separated headers, one line of space separated column specs.".to_owned()),
            _ => return Err("invalid template, missing spec line. Expected format is one line of space separated headers, one line of space separated column specs.".to_owned()),
        };
        let (headers, paths): (Vec<&str>, Vec<&str>) = (headers.split_whitespace().collect(), paths.split_whitespace().collect());
        if headers.len() != paths.len() {
            return Err(format!("number of headers ({}) and field specifications ({}) don't match", headers.len(), paths.len()));
        }
        let columns: Result<Vec<_>, String> = headers.into_iter().zip(paths).map(|(header, path)| Ok((header.to_owned(), column(path)?))).collect();
        Ok(Self { columns: columns?, from_file: true })
    }

    /// Whether a path cannot be read.
    pub fn broken(&self) -> bool {
        self.columns.iter().any(|(_, path)| path.is_err())
    }

    /// The lines of objects.
    pub fn print(&self, objects: &[Value], headers: bool, widths: &mut Vec<usize>) -> Result<String, String> {
        let mut lines = Vec::new();
        if headers || (self.from_file && !objects.is_empty()) {
            lines.push(self.columns.iter().map(|(header, _)| header.clone()).collect());
        }
        for object in objects {
            let cells: Result<Vec<String>, String> = self.columns.iter().map(|(_, path)| cell(path, object)).collect();
            lines.push(cells?);
        }
        Ok(table::align(&lines, widths))
    }
}

/// A path that cannot be read is told when it is used, after the headers.
fn column(path: &str) -> Result<Result<JsonPath, String>, String> {
    let strict = relaxed(path)?;
    Ok(JsonPath::parse(&strict))
}

fn cell(path: &Result<JsonPath, String>, object: &Value) -> Result<String, String> {
    let found = path.as_ref().map_err(Clone::clone)?.find(object)?;
    if found.first().is_none_or(Vec::is_empty) {
        return Ok("<none>".to_owned());
    }
    let texts: Vec<String> = found.iter().flatten().map(go::print).collect();
    Ok(texts.join(",").replace('\u{1b}', "^["))
}
