//! Go templates as `-o go-template` needs them: text/template over JSON values.
//!
//! Actions, pipelines, variables, `if`, `with`, `range`, `define`, `template`, `block`, the built-in functions and kubectl's own.
// upstream: Go's text/template, cli-runtime/pkg/printers/template.go

mod datum;
mod eval;
mod format;
mod functions;
mod lex;
mod number;
mod parse;
mod tree;

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use tree::Node;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    body: Rc<Vec<Node>>,
    named: Rc<HashMap<String, Vec<Node>>>,
    source: Rc<str>,
    /// Whether a missing key is `<no value>` rather than a failure.
    pub allow_missing: bool,
}

impl Template {
    /// Read a template.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (body, named) = parse::parse(text).map_err(|error| format!("template: output:{error}"))?;
        Ok(Self { body: Rc::new(body), named: Rc::new(named), source: text.into(), allow_missing: true })
    }

    /// The template filled in; with an error, as far as it came.
    pub fn fill(&self, object: &Value) -> (String, Result<(), String>) {
        let job = eval::Job { source: &self.source, named: &self.named, allow_missing: self.allow_missing };
        eval::run(&job, &self.body, object)
    }

    /// The template filled in.
    pub fn print(&self, object: &Value) -> Result<String, String> {
        let (text, outcome) = self.fill(object);
        outcome.map(|()| text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_print_what_go_prints() {
        let object = json!({"kind": "List", "n": 3, "s": "a\"b", "items": [{"name": "web", "ports": [80, 443]}, {"name": "db", "ports": []}], "m": {"x": "1", "a": "2"}, "b": "aGk="});
        let cases = [
            ("{{.kind}} {{ .n }}", "List 3"),
            ("{{range .items}}{{.name}}{{\"\\n\"}}{{end}}", "web\ndb\n"),
            ("{{range $i, $x := .items}}{{$i}}={{$x.name}} {{end}}{{$.kind}}", "0=web 1=db List"),
            ("{{range $k, $v := .m}}{{$k}}{{$v}} {{end}}", "a2 x1 "),
            ("{{if .none}}a{{else if eq .n 3}}b{{else}}c{{end}}", "b"),
            ("{{with .m}}{{.x}}{{else}}no{{end}}{{with .none}}x{{else}}no{{end}}", "1no"),
            ("{{range .none}}x{{else}}empty{{end}}", "empty"),
            ("{{len .items}} {{index .items 0 \"name\"}} {{index .m \"x\"}}", "2 web 1"),
            ("{{printf \"%s-%03d %q %v\" .kind .n .s .m}}", "List-003 \"a\\\"b\" map[a:2 x:1]"),
            ("{{.items}}", "[map[name:web ports:[80 443]] map[name:db ports:[]]]"),
            ("{{.nope}} {{.nope.x}}", "<no value> <no value>"),
            ("a {{- \" b \" -}} c", "a b c"),
            ("{{/* note */}}x", "x"),
            ("{{.b | base64decode}}", "hi"),
            ("{{and .kind (gt .n 2) (not .none)}} {{or .none \"d\"}}", "true d"),
            ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
            ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .kind}}", "<List>"),
            ("{{range .items}}{{if eq .name \"db\"}}{{break}}{{end}}{{.name}}{{end}}", "web"),
            ("{{(index .items 0).name}}{{`raw`}}", "webraw"),
            ("{{.s | html}} {{ne .n 3}} {{print 1 2 \"x\"}}", "a&#34;b false 1 2x"),
        ];
        for (template, expected) in cases {
            assert_eq!(Template::parse(template).and_then(|t| t.print(&object)).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn mistakes_are_told_in_gos_words() {
        let cases = [
            ("{{.a", "template: output:1: unclosed action"),
            ("{{foo}}", "template: output:1: function \"foo\" not defined"),
            ("{{if .a}}", "template: output:1: unexpected EOF"),
            ("{{end}}", "template: output:1: unexpected {{end}}"),
            ("{{index .a 5}}", "template: output:1:2: executing \"output\" at <index .a 5>: error calling index: index out of range: 5"),
            ("{{.a.b}}", "template: output:1:4: executing \"output\" at <.a.b>: can't evaluate field b in type interface {}"),
            ("{{.a | printf \"%d\" | len 1}}", "template: output:1:21: executing \"output\" at <len>: wrong number of args for len: want 1 got 2"),
            ("{{.a}", "template: output:1: bad character U+007D '}'"),
            ("{{\n\nnope}}", "template: output:3: function \"nope\" not defined"),
            ("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}", "template: output:1:25: executing \"x\" at <{{template \"x\"}}>: exceeded maximum template depth (100000)"),
            ("{{$x}}", "template: output:1: undefined variable \"$x\""),
        ];
        let object = json!({"a": [1]});
        for (template, expected) in cases {
            assert_eq!(Template::parse(template).and_then(|t| t.print(&object)).unwrap_err(), expected, "{template}");
        }
    }

    #[test]
    fn blocks_and_calls_are_counted_together() {
        for (open, count) in [("{{if true}}", 240), ("{{range .one}}{{with $}}", 100)] {
            let close = "{{end}}".repeat(open.matches("{{").count() * count);
            let text = format!("{{{{define \"x\"}}}}{}{{{{template \"x\" .}}}}{close}{{{{end}}}}{{{{template \"x\" .}}}}", open.repeat(count));
            let outcome = Template::parse(&text).unwrap().print(&json!({"one": [1]}));
            assert!(outcome.unwrap_err().ends_with("exceeded maximum template depth (100000)"));
        }
    }
}
