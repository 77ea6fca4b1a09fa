//! The part of Go's text/template that people write behind `--format`: fields, functions, pipes, `if`, `range`, `with`, variables.
//!
//! `lex` cuts an action into tokens, `parse` makes a tree, `eval` walks it over JSON values.
// upstream: text/template, and cli/templates/templates.go of docker for the functions

mod eval;
mod lex;
mod parse;

use serde_json::Value;

pub(super) use eval::Method;

/// A template that cannot be read or filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// It is not one.
    #[error("template parsing error: template: :1: {0}")]
    Parse(String),
    /// It asks for something that is not there.
    #[error("template: :1:{column}: executing \"\" at <{at}>: {problem}")]
    Execute {
        /// Where in the template.
        column: usize,
        /// Which words.
        at: String,
        /// What is wrong.
        problem: String,
    },
}

/// A template, ready to be filled in.
#[derive(Debug)]
pub(super) struct Template(Vec<parse::Node>);

impl Template {
    /// Read it.
    pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
        parse::parse(text).map(Template).map_err(TemplateError::Parse)
    }

    /// Fill it in.
    pub(super) fn render(&self, value: &Value) -> Result<String, TemplateError> {
        self.render_with(value, &|_, _| None)
    }

    /// Fill it in; `method` answers fields of the top that take arguments (`.Label "x"`).
    pub(super) fn render_with(&self, value: &Value, method: Method<'_>) -> Result<String, TemplateError> {
        eval::Evaluator::new(value, method).render(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled_in_as_go_does() {
        let value = json!({
            "ID": "abc", "N": 3, "Empty": "", "Null": null, "State": { "Status": "running", "Running": true },
            "Labels": { "a.b": "c", "d": "e" }, "List": ["x", "y"], "Mounts": [{ "Source": "/s" }, { "Source": "/t" }]
        });
        let cases = [
            ("{{.ID}}", "abc"),
            ("{{ .State.Status }} {{.N}}", "running 3"),
            ("{{json .State}}", "{\"Running\":true,\"Status\":\"running\"}"),
            ("{{.State}} {{.List}} {{.Null}}", "map[Running:true Status:running] [x y] <no value>"),
            ("{{index .Labels \"a.b\"}}", "c"),
            ("{{index .List 1}} {{(index .Mounts 0).Source}}", "y /s"),
            ("{{range .List}}<{{.}}>{{end}}", "<x><y>"),
            ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a.b=c;d=e;"),
            ("{{range $i, $m := .Mounts}}{{$i}}{{$m.Source}}{{$.ID}} {{end}}", "0/sabc 1/tabc "),
            ("{{if .State.Running}}yes{{else}}no{{end}} {{if .Empty}}a{{else if eq .N 3}}b{{end}}", "yes b"),
            ("{{with .State}}{{.Status}}{{end}}{{with .Empty}}x{{else}}-{{end}}", "running-"),
            ("a {{- .ID -}} b", "aabcb"),
            ("{{.ID | upper | printf \"%s!\"}} {{join .List \",\"}} {{len .List}}", "ABC! x,y 2"),
            ("{{truncate .ID 2}} {{split \"a:b\" \":\"}} {{title \"hello\"}} {{not .Empty}}", "ab [a b] Hello true"),
            ("{{/* nothing */}}{{`raw`}}{{\"\\t\"}}{{println .N}}", "raw\t3\n"),
            ("{{printf \"%d %q %v %-5s|\" .N .ID .List .ID}}", "3 \"abc\" [x y] abc  |"),
            ("{{and .ID .N}} {{or .Empty .ID}} {{ne .ID \"x\"}} {{lt .N 4}}", "3 abc true true"),
        ];
        for (template, expected) in cases {
            assert_eq!(Template::parse(template).unwrap().render(&value).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let value = json!({ "A": { "B": 1 } });
        for template in ["{{", "{{.A", "{{if .A}}", "{{end}}", "{{nope .A}}", "{{.A | }}", "{{\"x}}", "{{range}}x{{end}}", "{{else}}", "{{)}}"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
        let error = Template::parse("x {{.A.C}}").unwrap().render(&value).unwrap_err();
        assert_eq!(error.to_string(), "template: :1:4: executing \"\" at <.A.C>: map has no entry for key \"C\"");
        let error = Template::parse("{{.A.B.C}}").unwrap().render(&value).unwrap_err();
        assert!(error.to_string().contains("can't evaluate field C"), "{error}");
    }
}
