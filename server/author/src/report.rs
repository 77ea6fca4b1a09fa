//! What came of a test.

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

    /// One line for people.
    pub fn line(&self) -> String {
        let took: Duration = self.cases.iter().map(|case| case.took).sum();
        format!("{} passed, {} failed, {:.1} s", self.cases.len() - self.failed(), self.failed(), took.as_secs_f64())
    }

    /// JUnit XML, as build servers read it.
    pub fn junit(&self) -> String {
        let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"drydock author test\" tests=\"{}\" failures=\"{}\">\n", self.cases.len(), self.failed());
        for case in &self.cases {
            let (suite, name, took) = (escape(&case.suite), escape(&case.name), case.took.as_secs_f64());
            out.push_str(&format!("  <testcase classname=\"{suite}\" name=\"{name}\" time=\"{took:.3}\""));
            if case.problems.is_empty() {
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
        let bad = Case { suite: "ch02".into(), name: "a".into(), took: Duration::from_millis(1500), problems: vec!["1 < 2 \u{1b}".into()] };
        let summary = Summary { cases: vec![Case { suite: "ch02".into(), name: "b".into(), ..Case::default() }, bad] };
        assert_eq!(summary.line(), "1 passed, 1 failed, 1.5 s");
        let xml = summary.junit();
        assert!(xml.contains("failures=\"1\"") && xml.contains("1 &lt; 2 \u{fffd}"), "{xml}");
    }
}
