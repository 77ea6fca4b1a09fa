//! What templates print, and what is said of broken ones.

use serde_json::json;

use super::*;

#[test]
fn templates_print_what_stock_kubectl_prints() {
    let object = json!({
        "kind": "List", "n": 1, "f": 1.5, "t": true, "nil": null, "map": {"a": "1", "b.c": "2"},
        "items": [
            {"name": "web", "age": 3, "ports": [80, 443], "labels": {"app": "x"}},
            {"name": "db", "age": 5, "ports": [5432]},
        ],
    });
    let cases = [
        ("{.kind}", "List"),
        ("a {.n} b{.f}{.t}", "a 1 b1.5true"),
        ("{.items[*].name}", "web db"),
        ("{.items[0].name}{'\\n'}{.items[-1].name}", "web\ndb"),
        ("{.items[0:1].name}", "web"),
        ("{.items[*]['name','age']}", "web db 3 5"),
        ("{.items[?(@.name=='db')].age}", "5"),
        ("{.items[?(@.age>3)].name}", "db"),
        ("{.items[?(@.labels)].name}", "web"),
        ("{.items[?(@.labels.app==\"x\")].name}", "web"),
        ("{range .items[*]}{.name}{\"\\t\"}{.age}{\"\\n\"}{end}", "web\t3\ndb\t5\n"),
        ("{range .items[*]}{.name}:{range .ports[*]}{@},{end}{end}.", "web:80,443,db:5432,."),
        ("{range .none[*]}x{end}after", "after"),
        ("{..name}", "web db"),
        ("{.map.b\\.c}{.map['b\\.c']}", "22"),
        ("{.map}", "{\"a\":\"1\",\"b.c\":\"2\"}"),
        ("{.items[*].ports}", "[80,443] [5432]"),
        ("{.none}", ""),
        ("{.nil}", "null"),
        ("{$.kind}", "List"),
        ("{.items[0].ports[1:]}", "443"),
    ];
    for (template, expected) in cases {
        assert_eq!(JsonPath::parse(template).and_then(|path| path.print(&object)).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn mistakes_are_told_in_client_gos_words() {
    let cases = [
        ("{", "unclosed action"),
        ("{.a", "unclosed action"),
        ("{.items[0", "unterminated array"),
        ("{.items[x]}", "invalid array index x"),
        ("{.items[?(@.a==1]}", "unterminated filter"),
        ("{.items[5]}", "array index out of bounds: index 5, length 1"),
        ("{.kind[0]}", "string is not array or slice"),
        ("{end}", "not in range, nothing to end"),
        ("{foo}", "unrecognized identifier foo"),
        ("{%}", "unrecognized character in action: U+0025 '%'"),
        ("{\"x}", "unterminated quoted string"),
        ("{.items[?(@.a=='1')]}", "incompatible types for comparison"),
    ];
    let object = json!({"kind": "x", "items": [{"a": 1}]});
    for (template, expected) in cases {
        assert_eq!(JsonPath::parse(template).and_then(|path| path.print(&object)), Err(expected.to_owned()), "{template}");
    }
}
