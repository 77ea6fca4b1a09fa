//! What came of a test.

use std::collections::BTreeMap;
use std::time::Duration;

/// One exercise, solution or wrong answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Case {
    /// Chapter, or lab.
    pub suite: String,
    /// Exercise, or script.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// What went wrong; nothing when it passed.
    pub problems: Vec<String>,
    /// Why it was not done.
    pub skipped: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// In order.
    pub cases: Vec<Case>,
}

impl Summary {
    /// Cases that failed.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.problems.is_empty()).count()
    }

    /// Cases that were not done.
    pub fn skipped(&self) -> usize {
        self.cases.iter().filter(|case| case.skipped.is_some()).count()
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let took: Duration = self.cases.iter().map(|case| case.took).sum();
        let skipped = match self.skipped() {
            0 => String::new(),
            number => format!(", {number} skipped"),
        };
        let passed = self.cases.len() - self.failed() - self.skipped();
        format!("{passed} passed, {} failed{skipped}, {:.1} s", self.failed(), took.as_secs_f64())
    }

    /// What many runs prove: minutes of each suite, and what does not always pass.
    pub fn proof(&self) -> String {
        let mut suites: Vec<&str> = Vec::new();
        let mut cases: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for case in &self.cases {
            if !suites.contains(&case.suite.as_str()) {
                suites.push(&case.suite);
            }
            let (runs, failed) = cases.entry((&case.suite, &case.name)).or_default();
            *runs += 1;
            *failed += usize::from(!case.problems.is_empty());
        }
        let mut out = format!("{:<12} {:>5} {:>8} {:>12} {:>7}\n", "suite", "runs", "cases", "minutes/run", "failed");
        for suite in suites {
            let own = || self.cases.iter().filter(|case| case.suite == suite);
            let names = cases.iter().filter(|((of, _), _)| *of == suite);
            let runs = names.clone().map(|(_, (runs, _))| *runs).max().unwrap_or(1);
            let took: Duration = own().map(|case| case.took).sum();
            let failed = own().filter(|case| !case.problems.is_empty()).count();
            let minutes = took.as_secs_f64() / 60.0 / runs as f64;
            out.push_str(&format!("{suite:<12} {runs:>5} {:>8} {minutes:>12.1} {failed:>7}\n", names.count()));
        }
        for ((suite, name), (runs, failed)) in cases.iter().filter(|(_, (_, failed))| *failed > 0) {
            let word = if failed == runs { "fails" } else { "flakes" };
            let first = self.cases.iter().find(|case| case.suite == *suite && case.name == *name && !case.problems.is_empty());
            let problem = first.and_then(|case| case.problems[0].lines().next()).unwrap_or_default();
            out.push_str(&format!("{word}: {suite} {name}, {failed} of {runs} runs; at first: {problem}\n"));
        }
        out
    }

    /// JUnit XML, as build servers read it.
    pub fn junit(&self) -> String {
        let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"drydock author test\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n", self.cases.len(), self.failed(), self.skipped());
        for case in &self.cases {
            let (suite, name, took) = (escape(&case.suite), escape(&case.name), case.took.as_secs_f64());
            out.push_str(&format!("  <testcase classname=\"{suite}\" name=\"{name}\" time=\"{took:.3}\""));
            if let Some(why) = &case.skipped {
                out.push_str(&format!(">\n    <skipped message=\"{}\"/>\n  </testcase>\n", escape(why)));
            } else if case.problems.is_empty() {
                out.push_str("/>\n");
            } else {
                let text = escape(&case.problems.join("\n"));
                let first = escape(&case.problems[0]);
                out.push_str(&format!(">\n    <failure message=\"{first}\">{text}</failure>\n  </testcase>\n"));
            }
        }
        out.push_str("</testsuite>\n");
        out
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_and_escapes() {
        let bad = Case { suite: "ch02".into(), name: "a".into(), took: Duration::from_millis(1500), problems: vec!["1 < 2 \u{1b}".into()], skipped: None };
        let absent = Case { suite: "ch02".into(), name: "c".into(), skipped: Some("no \"image\"".into()), ..Case::default() };
        let summary = Summary { cases: vec![Case { suite: "ch02".into(), name: "b".into(), ..Case::default() }, bad, absent] };
        assert_eq!(summary.line(), "1 passed, 1 failed, 1 skipped, 1.5 s");
        let xml = summary.junit();
        assert!(xml.contains("<skipped message=\"no &quot;image&quot;\"/>"), "{xml}");
        assert!(xml.contains("failures=\"1\" skipped=\"1\"") && xml.contains("1 &lt; 2 \u{fffd}"), "{xml}");
    }

    #[test]
    fn a_proof_tells_a_flake_from_a_failure() {
        let case = |name: &str, problems: &[&str]| Case {
            suite: "ch02".into(),
            name: name.into(),
            took: Duration::from_secs(30),
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
            skipped: None,
        };
        let summary = Summary { cases: vec![case("a", &[]), case("b", &["x\ny"]), case("a", &["late"]), case("b", &["x"])] };
        let proof = summary.proof();
        for line in ["ch02             2        2          1.0       3", "flakes: ch02 a, 1 of 2 runs; at first: late", "fails: ch02 b, 2 of 2 runs; at first: x"] {
            assert!(proof.lines().any(|said| said == line), "{line:?} not in\n{proof}");
        }
    }
}
