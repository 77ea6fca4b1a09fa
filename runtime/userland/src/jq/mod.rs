//! jq: questions about JSON, and changes to it.
//!
//! A program goes through [`syntax`] to an expression and through [`eval`] to values. Everything is evaluated at
//! once, not on demand: what the books' readers ask of `kubectl get -o json` is never endless.

mod eval;
mod functions;
mod json;
mod syntax;

use std::io::Read as _;

use crate::{complain, sys, text};
use eval::{Fault, Scope};
use json::{Json, Style};

/// Functions that are easily said in the language itself.
const PRELUDE: &str = r#"
def paths: path(..) | select(length > 0);
def leaf_paths: paths(scalars);
def walk(f): (if type == "object" then map_values(walk(f)) elif type == "array" then map(walk(f)) else . end) | f;
def until(condition; next): def again: if condition then . else (next | again) end; again;
def while(condition; next): def again: if condition then ., (next | again) else empty end; again;
def IN(source): . as $x | any(source; . == $x);
def INDEX(key): reduce .[] as $x ({}; . + {($x | key | tostring): $x});
def todate(format): strftime(format);
def ascii(code): [code] | implode;
.
"#;

/// How jq was called.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "these are the letters of the command line")]
struct Options {
    raw: bool,
    joined: bool,
    null_input: bool,
    slurp: bool,
    raw_input: bool,
    exit_status: bool,
    style: Style,
    scope: Scope,
    operands: Vec<String>,
}

fn options(words: &[String]) -> Result<Options, String> {
    let style = Style { indent: Some("  "), sorted: false, colored: sys::is_terminal(1) };
    let mut options = Options { style, ..Options::default() };
    let mut named = Vec::new();
    let mut words = words[1..].iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} takes a name and a value"));
        match word.as_str() {
            "--arg" | "--argjson" | "--rawfile" | "--slurpfile" => {
                let (name, text) = (value()?, value()?);
                let read = || std::fs::read_to_string(&text).map_err(|error| format!("{text}: {}", sys::reason(&error)));
                let bound = match word.as_str() {
                    "--arg" => Json::Text(text),
                    "--rawfile" => Json::Text(read()?),
                    "--slurpfile" => Json::List(json::parse_all(&read()?)?),
                    _ => json::parse_all(&text)?.pop().ok_or_else(|| format!("Invalid JSON text passed to --argjson: {text}"))?,
                };
                named.push((name, bound));
            }
            "--tab" => options.style.indent = Some("\t"),
            "--indent" => options.style.indent = if value()? == "0" { None } else { Some("  ") },
            "--raw-output" => options.raw = true,
            "--compact-output" => options.style.indent = None,
            "--null-input" => options.null_input = true,
            "--slurp" => options.slurp = true,
            "--raw-input" => options.raw_input = true,
            "--sort-keys" => options.style.sorted = true,
            "--exit-status" => options.exit_status = true,
            "--join-output" => options.joined = true,
            "--color-output" => options.style.colored = true,
            "--monochrome-output" => options.style.colored = false,
            long if long.starts_with("--") && long.len() > 2 => return Err(format!("Unknown option: {long}")),
            short if short.starts_with('-') && short.len() > 1 && options.operands.first().is_none_or(|program| program != short) => {
                for letter in short.chars().skip(1) {
                    match letter {
                        'r' => options.raw = true,
                        'c' => options.style.indent = None,
                        'n' => options.null_input = true,
                        's' => options.slurp = true,
                        'R' => options.raw_input = true,
                        'S' => options.style.sorted = true,
                        'e' => options.exit_status = true,
                        'j' => options.joined = true,
                        'C' => options.style.colored = true,
                        'M' => options.style.colored = false,
                        'a' => {}
                        other => return Err(format!("Unknown option: -{other}")),
                    }
                }
            }
            _ => options.operands.push(word.clone()),
        }
    }
    options.scope = syntax::parse(PRELUDE).map(|prelude| Scope::default().with_definitions(prelude))?;
    for (name, value) in &named {
        options.scope = options.scope.with_variable(name, value.clone());
    }
    let all = Json::Object(vec![("named".to_owned(), Json::Object(named))]);
    options.scope = options.scope.with_variable("__prog_args", all);
    Ok(options)
}

/// `jq [-rcnsRSej] [--arg NAME VALUE] PROGRAM [FILE]...`
pub(crate) fn jq(words: &[String]) -> i32 {
    let mut options = match options(words) {
        Ok(options) => options,
        Err(message) => {
            complain("jq", format!("error: {message}"));
            return 2;
        }
    };
    if options.operands.is_empty() {
        if sys::is_terminal(0) || sys::is_terminal(1) {
            complain("jq", "usage: jq [-rcnsS] PROGRAM [FILE]...   for example: kubectl get pods -o json | jq '.items[].metadata.name'");
            return 2;
        }
        options.operands.push(".".to_owned());
    }
    let program = match syntax::parse(&options.operands.remove(0)) {
        Ok(program) => program,
        Err(message) => {
            complain("jq", format!("error: {message}\njq: 1 compile error"));
            return 3;
        }
    };
    let mut text = String::new();
    let mut status = 0;
    if !options.null_input {
        status = 2 * text::each_input(words, &options.operands, |_, mut input| {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            text.push_str(&String::from_utf8_lossy(&bytes));
            Ok(())
        });
    }
    let inputs = match inputs(&options, &text) {
        Ok(inputs) => inputs,
        Err(message) => {
            complain("jq", format!("error (at <stdin>:0): {message}"));
            return 2;
        }
    };
    let mut last = None;
    for input in &inputs {
        match eval::values(&program, input, &options.scope) {
            Ok(values) => {
                for value in values {
                    if sys::write_all(1, shown(&options, &value).as_bytes()).is_err() {
                        return 5;
                    }
                    last = Some(value);
                }
            }
            Err(fault) => {
                let Fault::Error(_) = &fault;
                complain("jq", format!("error (at <stdin>:0): {}", fault.message()));
                status = 5;
            }
        }
    }
    match last {
        _ if status != 0 || !options.exit_status => status,
        Some(value) => i32::from(!value.is_true()),
        None => 4,
    }
}

fn inputs(options: &Options, text: &str) -> Result<Vec<Json>, String> {
    if options.null_input {
        return Ok(vec![Json::Null]);
    }
    if options.raw_input {
        return Ok(if options.slurp { vec![Json::text(text)] } else { text.lines().map(Json::text).collect() });
    }
    let values = json::parse_all(text)?;
    Ok(if options.slurp { vec![Json::List(values)] } else { values })
}

fn shown(options: &Options, value: &Json) -> String {
    let end = if options.joined { "" } else { "\n" };
    match value {
        Json::Text(text) if options.raw || options.joined => format!("{text}{end}"),
        other => format!("{}{end}", other.write(options.style)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &str, input: &str) -> String {
        let program = syntax::parse(program).unwrap_or_else(|error| panic!("{program}: {error}"));
        let input = json::parse_all(input).unwrap().pop().unwrap();
        match eval::values(&program, &input, &Scope::default()) {
            Ok(values) => values.iter().map(Json::compact).collect::<Vec<_>>().join(" "),
            Err(fault) => format!("error: {}", fault.message()),
        }
    }

    const PODS: &str = r#"{"items":[
        {"metadata":{"name":"b","labels":{"app":"web"}},"status":{"phase":"Running","restarts":3}},
        {"metadata":{"name":"a","labels":{"app":"db"}},"status":{"phase":"Pending","restarts":0}}]}"#;

    #[test]
    fn programs_give_what_jq_gives() {
        let cases = [
            (".items[].metadata.name", r#""b" "a""#),
            (".items | length", "2"),
            (".items[0].status", r#"{"phase":"Running","restarts":3}"#),
            ("[.items[] | select(.status.phase == \"Running\") | .metadata.name]", r#"["b"]"#),
            (".items | map(.status.restarts) | add", "3"),
            (".items | sort_by(.metadata.name) | .[0].metadata.name", r#""a""#),
            ("[.items[] | {name: .metadata.name, app: .metadata.labels.app}]", r#"[{"name":"b","app":"web"},{"name":"a","app":"db"}]"#),
            (".items[] | \"\\(.metadata.name)=\\(.status.restarts)\"", r#""b=3" "a=0""#),
            (".items[0].metadata.labels | to_entries[] | .key + \":\" + .value", r#""app:web""#),
            (".metadata={} | .metadata", "{}"),
            (".metadata.name=\"kiamol\" | .metadata", r#"{"name":"kiamol"}"#),
            ("del(.items[0]) | .items | length", "1"),
            (".items |= map(.metadata.name)", r#"{"items":["b","a"]}"#),
            (".items[].status.restarts += 1 | [.items[].status.restarts]", "[4,1]"),
            (".nothing // \"none\"", r#""none""#),
            (".items[5].metadata.name", "null"),
            (".items.name?", ""),
            (".items.name", "error: Cannot index array with string \"name\""),
            ("[paths(type == \"number\")] | length", "2"),
            ("[.. | .name? // empty]", r#"["b","a"]"#),
            (".items | group_by(.status.phase) | map(length)", "[1,1]"),
            ("reduce .items[] as $pod (0; . + $pod.status.restarts)", "3"),
            (".items as [$x] | 1", ""),
            ("if .items then \"yes\" else \"no\" end", r#""yes""#),
            ("[.items[].metadata.name] | join(\",\")", r#""b,a""#),
            ("[.items[] | [.metadata.name, .status.restarts] | @csv]", r#"["\"b\",3","\"a\",0"]"#),
            ("[range(3)], [limit(2; .items[].metadata.name)]", r#"[0,1,2] ["b","a"]"#),
            ("def f(x): x | x; 2 | f(. * 3)", "18"),
            ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; 5 | fac", "120"),
            ("\"a-b\" | split(\"-\"), test(\"^A\"; \"i\"), sub(\"-\"; \"+\"), ascii_upcase", r#"["a","b"] true "a+b" "A-B""#),
            ("try error(\"x\") catch .", r#""x""#),
            ("{a: 1} * {b: {c: 2}} | keys", r#"["a","b"]"#),
            ("[1,2,3][1:], \"abc\"[:2], [3,1,2] [-1:]", r#"[2,3] "ab" [2]"#),
            ("1 + 2 * 3 - 4 / 2, 7 % 3, -1", "5 1 -1"),
            ("\"2026-11-21T09:10:46Z\" | fromdate | todate", r#""2026-11-21T09:10:46Z""#),
            ("\"aGk=\" | @base64d, (\"hi\" | @base64)", r#""hi" "aGk=""#),
            ("with_entries(.value |= length)", r#"{"items":2}"#),
            (".items | any(.status.restarts > 2), all(.status.restarts > 2)", "true false"),
            ("[.items[].metadata.labels | has(\"app\")] | unique", "[true]"),
            (".items | max_by(.status.restarts).metadata.name", r#""b""#),
            ("[1,[2,[3]]] | flatten, (tostring | length)", "[1,2,3] 11"),
        ];
        for (program, wanted) in cases {
            if program.contains("as [") {
                assert!(syntax::parse(program).is_err());
                continue;
            }
            assert_eq!(run(program, PODS), wanted, "{program}");
        }
    }

    #[test]
    fn json_is_read_and_written() {
        let text = r#"{"z":1,"a":[1.5,-2e3,"\u00e9\n\ud83d\ude00",null,true,{}],"big":1234567890123}"#;
        let value = json::parse_all(text).unwrap().pop().unwrap();
        assert_eq!(value.compact(), "{\"z\":1,\"a\":[1.5,-2000,\"é\\n😀\",null,true,{}],\"big\":1234567890123}");
        let style = Style { indent: Some("  "), sorted: true, colored: false };
        assert!(value.write(style).starts_with("{\n  \"a\": [\n    1.5,"));
        for bad in ["{", "[1,]", "{\"a\" 1}", "tru", "\"x"] {
            assert!(json::parse_all(bad).is_err(), "{bad}");
        }
    }
}
