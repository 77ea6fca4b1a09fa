//! What programs print, as values a check can ask about.

use std::collections::BTreeMap;

use drydock_primitives::look::{self, Kind};
use serde_json::{Value, json};

/// An HTTP answer with its head, as `curl -i` prints it; `None` when it is none.
pub(crate) fn page(text: &str) -> Option<Value> {
    let mut rest = text;
    loop {
        let (head, body) = rest.split_once("\r\n\r\n").or_else(|| rest.split_once("\n\n")).unwrap_or((rest, ""));
        let mut lines = head.lines();
        let status: u16 = lines.next().and_then(|line| line.strip_prefix("HTTP/")?.split_whitespace().nth(1)).and_then(|code| code.parse().ok())?;
        if (100..200).contains(&status) {
            rest = body;
            continue;
        }
        let headers: BTreeMap<String, String> =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        return Some(json!({"status": status, "headers": headers, "body": body}));
    }
}

/// What `nslookup` found, in either of BusyBox's formats.
pub(crate) fn lookup(text: &str) -> Value {
    let (mut addresses, mut cnames) = (Vec::new(), Vec::new());
    // The server and its address come first, then a blank line.
    let answer = text.split_once("\n\n").map_or("", |(_, answer)| answer);
    for line in answer.lines().map(str::trim) {
        if let Some((_, name)) = line.split_once("canonical name =") {
            cnames.push(name.trim().trim_end_matches('.').to_owned());
        } else if let Some(address) = line.strip_prefix("Address").and_then(|rest| rest.split_once(':')).map(|(_, address)| address.trim()) {
            let address = address.split_whitespace().next().unwrap_or_default().to_owned();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    json!({"found": !(addresses.is_empty() && cnames.is_empty()), "addresses": addresses, "cnames": cnames, "text": text})
}

/// What the script that looks at a file printed.
pub(crate) fn file(text: &str) -> Value {
    let Some(look) = look::parse(text.as_bytes()) else { return json!({"kind": null, "text": null, "entries": []}) };
    let contents = String::from_utf8_lossy(look.contents);
    let entries: Vec<&str> = if look.kind == Kind::Directory { contents.lines().collect() } else { Vec::new() };
    json!({
        "kind": look.kind.name(), "mode": format!("{:0>4}", look.mode), "uid": look.uid, "gid": look.gid, "size": look.size, "link": look.link,
        "text": (look.kind == Kind::File).then_some(&contents), "entries": entries,
    })
}

/// What `env` printed.
pub(crate) fn environment(text: &str) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        let name = line.split_once('=').filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace));
        match name {
            Some((name, value)) => {
                last = name.to_owned();
                environment.insert(last.clone(), value.to_owned());
            }
            // The second line of a value.
            None => {
                if let Some(value) = environment.get_mut(&last) {
                    value.push('\n');
                    value.push_str(line);
                }
            }
        }
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let page = page("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nX-Cache: HIT\r\nLocation: /list\r\n\r\nbody\n\nmore").unwrap();
        assert_eq!(page, json!({"status": 302, "headers": {"x-cache": "HIT", "location": "/list"}, "body": "body\n\nmore"}));
        assert_eq!(super::page("curl: no"), None);
    }

    #[test]
    fn lookups() {
        let server = "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n";
        let cases = [
            ("Name:\tsleep-2.default.svc.cluster.local\nAddress: 10.96.3.4\n", json!([true, ["10.96.3.4"], []])),
            ("Name:      kubernetes\nAddress 1: 10.96.0.1 kubernetes.default.svc.cluster.local\n", json!([true, ["10.96.0.1"], []])),
            ("** server can't find nope: NXDOMAIN\n", json!([false, [], []])),
            (
                "numbers-api.default.svc.cluster.local\tcanonical name = raw.githubusercontent.com.\nName:\traw.githubusercontent.com\nAddress: 151.101.0.1\n",
                json!([true, ["151.101.0.1"], ["raw.githubusercontent.com"]]),
            ),
        ];
        for (text, expected) in cases {
            let got = lookup(&format!("{server}{text}"));
            assert_eq!(json!([got["found"], got["addresses"], got["cnames"]]), expected, "{text}");
        }
    }

    #[test]
    fn files() {
        let file_at = file("file 400 0 70 3\n..data/a\nabc");
        assert_eq!(file_at["mode"], "0400");
        assert_eq!((&file_at["link"], &file_at["text"], &file_at["gid"]), (&json!("..data/a"), &json!("abc"), &json!(70)));
        let directory = file("directory 755 0 0 40\n\na\nb\n");
        assert_eq!((&directory["entries"], &directory["text"]), (&json!(["a", "b"]), &Value::Null));
        assert_eq!(file("none\n")["kind"], Value::Null);
    }

    #[test]
    fn environments() {
        let got = environment("A=1\nB=x=y\nsecond line\nkiamol.section=4.1\n");
        assert_eq!(json!(got), json!({"A": "1", "B": "x=y\nsecond line", "kiamol.section": "4.1"}));
    }
}
