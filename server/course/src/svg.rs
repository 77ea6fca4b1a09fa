//! Which SVG may be put into a page: shapes and text, nothing that acts or loads.

/// Elements a figure may have.
const ELEMENTS: [&str; 21] = [
    "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "title", "desc", "defs", "marker", "linearGradient",
    "radialGradient", "stop", "use", "clipPath", "pattern",
];

/// The figure as it may stand in a page; ids in it begin with `stem`, so that several figures get along.
pub(crate) fn checked(text: &str, stem: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut open: Vec<String> = Vec::new();
    let (mut titled, mut closed) = (false, false);
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, tail) = rest.split_at(start);
        if !before.trim().is_empty() && open.is_empty() {
            return Err(format!("text outside of <svg>: {:?}", before.trim()));
        }
        if !open.is_empty() {
            out.push_str(before);
        }
        if let Some(comment) = tail.strip_prefix("<!--") {
            rest = comment.split_once("-->").ok_or("a comment does not end")?.1;
            continue;
        }
        if let Some(declaration) = tail.strip_prefix("<?") {
            rest = declaration.split_once("?>").ok_or("a declaration does not end")?.1;
            continue;
        }
        let end = tag_end(tail).ok_or("a tag does not end")?;
        let inner = &tail[1..end];
        rest = &tail[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            let name = name.trim();
            if open.pop().as_deref() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            out.push_str(&format!("</{name}>"));
            closed = open.is_empty();
            continue;
        }
        if closed {
            return Err("something follows </svg>".into());
        }
        let (tag, empty) = inner.strip_suffix('/').map_or((inner, false), |tag| (tag, true));
        let name = tag.split_whitespace().next().unwrap_or_default();
        element(tag, name, open.is_empty(), stem, &mut out)?;
        titled |= name == "title" && open.len() == 1;
        if empty {
            out.push_str("/>");
        } else {
            out.push('>');
            open.push(name.to_owned());
        }
    }
    match open.pop() {
        Some(name) => Err(format!("<{name}> is not closed")),
        None if !closed => Err("there is no <svg>".into()),
        None if !titled => Err("a figure has a <title> that says what it shows".into()),
        None => Ok(out),
    }
}

/// Where a tag ends; `>` inside of quotes does not end it.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '>' => return Some(at),
            None => {}
        }
    }
    None
}

fn element(tag: &str, name: &str, root: bool, stem: &str, out: &mut String) -> Result<(), String> {
    if !ELEMENTS.contains(&name) {
        return Err(format!("<{name}> cannot stand in a figure; use {}", ELEMENTS.join(", ")));
    }
    if root != (name == "svg") {
        return Err(format!("the root of a figure is <svg>, not <{name}>"));
    }
    out.push('<');
    out.push_str(name);
    let mut rest = tag[name.len()..].trim_start();
    let mut boxed = false;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(|| format!("<{name}>: an attribute without a value: {rest:?}"))?;
        let (key, after) = (key.trim(), after.trim_start());
        let quote = after.chars().next().filter(|c| *c == '"' || *c == '\'').ok_or_else(|| format!("{key}: the value is not in quotes"))?;
        let (value, after) = after[1..].split_once(quote).ok_or_else(|| format!("{key}: the quote does not end"))?;
        attribute(name, key, value, stem)?;
        boxed |= key == "viewBox";
        out.push_str(&format!(" {key}={quote}{value}{quote}"));
        rest = after.trim_start();
    }
    if root {
        if !boxed {
            return Err("<svg> needs a viewBox".into());
        }
        out.push_str(" role=\"img\"");
    }
    Ok(())
}

fn attribute(element: &str, key: &str, value: &str, stem: &str) -> Result<(), String> {
    let lower = key.to_ascii_lowercase();
    let plain = !lower.is_empty() && lower.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b':' || b == b'_');
    if !plain || lower.starts_with("on") || lower == "style" || lower == "role" {
        return Err(format!("<{element}>: attribute `{key}` cannot stand in a figure; use class, fill, stroke"));
    }
    if value.contains('<') {
        return Err(format!("<{element}>: `<` in the value of {key}"));
    }
    if lower.ends_with("href") && !value.starts_with('#') {
        return Err(format!("<{element}>: {key} points out of the figure; write #id"));
    }
    if value.replace([' ', '"', '\''], "").to_ascii_lowercase().replace("url(#", "").contains("url(") {
        return Err(format!("<{element}>: {key} loads something; write url(#id)"));
    }
    if lower == "id" && value != stem && !value.starts_with(&format!("{stem}-")) {
        return Err(format!("<{element}>: id `{value}` could be in another figure too; write {stem}-{value}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_hold_shapes_only() {
        let good = "<?xml version=\"1.0\"?>\n<!-- by hand -->\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox='0 0 16 9'><title>A &gt; B</title><defs><marker id=\"pods-a\"/></defs>\
                    <path d=\"M0 0\" marker-end=\"url(#pods-a)\" fill=\"var(--line)\"/></svg>\n";
        let svg = checked(good, "pods").unwrap();
        assert!(svg.starts_with("<svg xmlns="), "{svg}");
        assert!(svg.contains("role=\"img\"") && !svg.contains("by hand"), "{svg}");
        let body = |inner: &str| format!("<svg viewBox=\"0 0 1 1\"><title>t</title>{inner}</svg>");
        let cases = [
            (body("<script>x</script>"), "<script> cannot stand"),
            (body("<rect onclick=\"x\"/>"), "onclick"),
            (body("<rect style=\"x\"/>"), "style"),
            (body("<use href=\"http://x/y\"/>"), "points out"),
            (body("<rect fill=\"url( http://x)\"/>"), "loads"),
            (body("<rect id=\"a\"/>"), "pods-a"),
            (body("<g>"), "closes nothing"),
            ("<svg viewBox=\"0 0 1 1\"></svg>".into(), "<title>"),
            ("<svg><title>t</title></svg>".into(), "viewBox"),
            ("<g/>".into(), "root"),
            ("".into(), "no <svg>"),
            (body("") + "<svg/>", "follows"),
            ("<svg viewBox=\"".into(), "does not end"),
        ];
        for (text, expected) in cases {
            let problem = checked(&text, "pods").unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
