//! Words in place of what no two runs have in common. Columns keep their width, so that alignment is compared too.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What is found, and its word. Earlier ones first.
static RULES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let rules = [
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", "CERTIFICATE"),
        (r"(?s)-----BEGIN CERTIFICATE-----(\n[0-9A-Za-z+/=]+)+", "CERTIFICATE"),
        (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
        (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} UTC", "TIME"),
        (r"\b[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ ", "LOG "),
        (r"\b127\.0\.0\.1:\d{5}\b", "127.0.0.1:PORT"),
        (r"\b10\.(244|9[6-9]|1[01][0-9])\.\d{1,3}\.\d{1,3}\b", "ADDRESS"),
        (r"\b172\.30\.\d{1,3}\.\d{1,3}\b", "ADDRESS"),
        (r"\b3[012]\d{3}(/(TCP|UDP)|\b)", "NODEPORT$1"),
        (r"-[0-9a-f]{7,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-HASH-POD"),
        (r"-[bcdfghjklmnpqrstvwxz2456789]{9,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-HASH-POD"),
        (r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-XXXXX"),
        (r"(pod-template-hash|controller-revision-hash)(=|: ?)(\S*-)?[0-9a-z]+", "$1${2}${3}HASH"),
        (r"(token|kube-api-access)-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "$1-NAME"),
        (r"(?m)((?:r|R)esource ?(?:v|V)ersion:? +)\x22?\d+\x22?", "${1}N"),
        (r#""resourceVersion": ?"\d+""#, r#""resourceVersion": "N""#),
        (r"/tmp/\.?[A-Za-z0-9_.-]+", "/tmp/FOLDER"),
        (r"(LIVE|MERGED)-\d+", "$1-N"),
        (r"0xc[0-9a-f]{9}", "POINTER"),
        (r"(ephemeral-storage: +)\d+Gi", "${1}SIZE"),
        (r"in \d+m?s \(\d+m?s including waiting\)\. Image size: \d+ bytes", "in TIME (TIME including waiting). Image size: SIZE bytes"),
        (r"\(v?\d+ ago\)", "(AGO ago)"),
    ];
    rules.into_iter().map(|(pattern, word)| (Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")), word)).collect()
});

/// Ages: with the spaces after them, which belong to the column.
static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)(^|[\s(])((?:\d+[smhdy]){1,2})( *)($|[\s)])").unwrap_or_else(|error| panic!("{error}")));

/// A text that two runs can have in common.
pub fn redact(text: &str) -> String {
    let text = RULES.iter().fold(text.to_owned(), |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned());
    // Twice: what ends one age may begin the next.
    let once = AGE.replace_all(&text, age).into_owned();
    AGE.replace_all(&once, age).into_owned()
}

fn age(found: &Captures<'_>) -> String {
    let width = found[2].len() + found[3].len();
    let shown = if found[3].is_empty() { "AGE".to_owned() } else { format!("{:width$}", "AGE") };
    format!("{}{shown}{}", &found[1], &found[4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_redacted_and_what_does_not_stays() {
        let cases = [
            ("web-64d967ffd7-drcw4   1/1     Running   0          36s", "web-HASH-POD   1/1     Running   0          AGE"),
            ("x   5s    10.244.1.2   node-1", "x   AGE   ADDRESS   node-1"),
            ("x   12s   10.244.1.2   node-1", "x   AGE   ADDRESS   node-1"),
            ("uid: 0f22cc74-74d2-4b6c-baa7-421d13989701", "uid: UID"),
            ("  Started:      Sat, 21 Nov 2026 14:37:43 +0000", "  Started:      TIME"),
            ("creationTimestamp: \"2026-11-21T14:37:43Z\"", "creationTimestamp: \"TIME\""),
            ("  resourceVersion: \"123\"", "  resourceVersion: N"),
            ("Resource Version:  9", "Resource Version:  N"),
            ("web   LoadBalancer   10.96.5.6   172.30.1.1   80:31234/TCP   3m12s", "web   LoadBalancer   ADDRESS   ADDRESS   80:NODEPORT/TCP   AGE"),
            ("deployment.apps/web scaled", "deployment.apps/web scaled"),
            ("kubernetes   ClusterIP", "kubernetes   ClusterIP"),
        ];
        for (text, wanted) in cases {
            assert_eq!(redact(text), wanted);
        }
    }
}
