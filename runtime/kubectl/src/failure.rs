//! What ends a command early, and how it is said: the texts are upstream's, since scripts and learners read them.
// upstream: kubectl/pkg/cmd/util/helpers.go checkErr, StandardErrorMessage, MultilineError

use serde_json::Value;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The server's own answer: a `Status` object.
    Status(Box<Value>),
    /// Something of ours; said after `error: `.
    Message(String),
    /// Said exactly so, with this exit code.
    Plain(String, i32),
    /// The server cannot be reached.
    Unreachable(Box<Lost>),
    /// Everything is said; only the exit code is left.
    Exit(i32),
    /// Several at once. One that is told unwraps what has only one; what stands in it as several is said as a text, without who said it.
    // upstream: apimachinery/pkg/util/errors Aggregate
    Many(Vec<Failure>),
}

/// A request that had no answer, as it was when it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// What is said of it.
    // upstream: kubectl/pkg/cmd/util/helpers.go StandardErrorMessage
    pub said: String,
    /// As a part of another message, Go's `err.Error()`: what was asked and why there was no answer.
    // upstream: net/url Error
    pub whole: String,
}

impl Failure {
    /// A message of ours.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// A mistake on the command line of `kubectl VERB`, with where to read more.
    // upstream: kubectl/pkg/cmd/util/helpers.go UsageErrorf
    pub fn usage(path: &str, text: &str) -> Self {
        Self::Message(format!("{text}\nSee '{path} -h' for help and examples"))
    }

    /// A mistake told without where to read more.
    #[must_use]
    pub fn into_plain(self) -> Self {
        Self::Message(self.text().split("\nSee '").next().unwrap_or_default().to_owned())
    }

    /// One failure, many, or none.
    pub fn all(mut failures: Vec<Self>) -> Result<(), Self> {
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Self::Many(failures)),
        }
    }

    /// Several as they are: one alone is kept as several, which tells another when it is several itself.
    // upstream: apimachinery/pkg/util/errors NewAggregate
    pub fn together(failures: Vec<Self>) -> Result<(), Self> {
        if failures.is_empty() { Ok(()) } else { Err(Self::Many(failures)) }
    }

    /// Each for itself, however they stood together.
    // upstream: apimachinery/pkg/util/errors Flatten
    pub fn apart(self) -> Vec<Self> {
        match self {
            Self::Many(all) => all.into_iter().flat_map(Self::apart).collect(),
            one => vec![one],
        }
    }

    /// What is left without those of this reason.
    // upstream: apimachinery/pkg/util/errors FilterOut
    pub fn without(self, reason: &str) -> Option<Self> {
        match self {
            Self::Many(all) => {
                let rest: Vec<Self> = all.into_iter().filter_map(|failure| failure.without(reason)).collect();
                (!rest.is_empty()).then_some(Self::Many(rest))
            }
            one => (!one.is(reason)).then_some(one),
        }
    }

    /// Whether the server said this reason, such as `NotFound`.
    pub fn is(&self, reason: &str) -> bool {
        matches!(self, Self::Status(status) if status["reason"] == reason)
    }

    /// The message without its prefix, as Go's `err.Error()`.
    pub fn text(&self) -> String {
        match self {
            Self::Status(status) => status["message"].as_str().unwrap_or_default().to_owned(),
            Self::Message(text) | Self::Plain(text, _) => text.clone(),
            Self::Unreachable(lost) => lost.said.clone(),
            Self::Exit(code) => format!("exit status {code}"),
            Self::Many(_) => {
                let mut texts: Vec<String> = Vec::new();
                for text in self.clone().apart().iter().map(Self::text) {
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                }
                if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) }
            }
        }
    }

    /// As a part of another message, as Go's `err.Error()` also of a request that had no answer.
    pub fn whole(&self) -> String {
        match self {
            Self::Unreachable(lost) => lost.whole.clone(),
            _ => self.text(),
        }
    }

    /// With what was attempted before the message: `error when creating "web.yaml": ...`.
    // upstream: kubectl/pkg/cmd/util/helpers.go AddSourceToErr
    #[must_use]
    pub fn during(self, verb: &str, source: &str) -> Self {
        if source.is_empty() { self } else { self.prefixed(&format!("error when {verb} {source:?}: ")) }
    }

    /// With a text before the message; what the server answered stays its answer.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        match self {
            Self::Status(mut status) => {
                let message = format!("{prefix}{}", status["message"].as_str().unwrap_or_default());
                status["message"] = message.into();
                Self::Status(status)
            }
            Self::Message(text) => Self::Message(format!("{prefix}{text}")),
            other => other,
        }
    }

    /// The exit code.
    pub fn code(&self) -> i32 {
        match self {
            Self::Exit(code) | Self::Plain(_, code) => *code,
            Self::Status(_) | Self::Message(_) | Self::Unreachable(_) | Self::Many(_) => 1,
        }
    }

    /// What is said on standard error, without the last line break. Empty when all is said.
    pub fn report(&self) -> String {
        match self {
            Self::Exit(_) => String::new(),
            Self::Plain(text, _) => without_break(text),
            Self::Unreachable(lost) => without_break(&lost.said),
            Self::Message(text) if text.starts_with("error: ") => without_break(text),
            Self::Message(text) => format!("error: {}", without_break(text)),
            Self::Status(status) if status["reason"] == "Invalid" => invalid(status),
            Self::Status(status) => from_server(status),
            Self::Many(all) => match all.as_slice() {
                [Self::Many(inner)] => lines(inner),
                [one] => one.report(),
                several => lines(several),
            },
        }
    }

    fn in_list(&self) -> String {
        match self {
            // In a list an invalid object is told like any other answer, and what we say stands alone.
            Self::Status(status) => from_server(status),
            Self::Message(_) | Self::Many(_) => self.text(),
            other => other.report(),
        }
    }
}

// upstream: kubectl/pkg/cmd/util/helpers.go MultipleErrors
fn lines(all: &[Failure]) -> String {
    all.iter().map(Failure::in_list).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A line break is added when there is none.
fn without_break(text: &str) -> String {
    text.strip_suffix('\n').unwrap_or(text).to_owned()
}

fn from_server(status: &Value) -> String {
    let message = status["message"].as_str().unwrap_or_default();
    match status["reason"].as_str().unwrap_or_default() {
        "Unauthorized" => format!("error: You must be logged in to the server ({message})"),
        "" => format!("Error from server: {message}"),
        reason => format!("Error from server ({reason}): {message}"),
    }
}

/// `The Deployment "web" is invalid: spec.replicas: ...`, one line for each cause.
fn invalid(status: &Value) -> String {
    let message = status["message"].as_str().unwrap_or_default();
    let details = &status["details"];
    if details.is_null() {
        return format!("The request is invalid: {message}");
    }
    let of = |field: &str| details[field].as_str().unwrap_or_default();
    let causes = causes(details);
    let mut said = "The request is invalid".to_owned();
    if !of("kind").is_empty() || !of("name").is_empty() {
        said = format!("The {} {:?} is invalid", of("kind"), of("name"));
    } else if !message.is_empty() && causes.is_empty() {
        said.push_str(&format!(": {message}"));
    }
    match causes.as_slice() {
        [] => said,
        [one] => format!("{said}: {one}"),
        many => {
            let lines: Vec<String> = many.iter().map(|line| format!("* {line}")).collect();
            format!("{said}: \n{}", lines.join("\n"))
        }
    }
}

fn causes(details: &Value) -> Vec<String> {
    let mut seen = Vec::new();
    for cause in details["causes"].as_array().into_iter().flatten() {
        let (field, message) = (cause["field"].as_str().unwrap_or_default(), cause["message"].as_str().unwrap_or_default());
        let line = format!("{field}: {message}");
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    seen
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // A reader that went away is nobody's mistake: what Go's runtime does on SIGPIPE.
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::Exit(141) } else { Self::Message(go_io(&error)) }
    }
}

/// An error of the system in Go's words: `no such file or directory`.
pub fn go_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    let bare = text.split(" (os error").next().unwrap_or_default();
    let mut letters = bare.chars();
    letters.next().map(|first| first.to_lowercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn failures_are_told_as_stock_kubectl_tells_them() {
        let status = |reason: &str, details: Value| Failure::Status(Box::new(json!({"reason": reason, "message": "m", "details": details})));
        let cases = [
            (Failure::new("boom"), "error: boom"),
            (status("NotFound", json!({})), "Error from server (NotFound): m"),
            (status("", json!({})), "Error from server: m"),
            (status("Unauthorized", json!({})), "error: You must be logged in to the server (m)"),
            (
                status("Invalid", json!({"kind": "Pod", "name": "x", "causes": [{"field": "spec", "message": "bad"}]})),
                "The Pod \"x\" is invalid: spec: bad",
            ),
            (
                status("Invalid", json!({"kind": "Pod", "name": "x", "causes": [{"field": "a", "message": "1"}, {"field": "b", "message": "2"}]})),
                "The Pod \"x\" is invalid: \n* a: 1\n* b: 2",
            ),
            (Failure::Many(vec![status("NotFound", json!({})), Failure::new("x")]), "Error from server (NotFound): m\nx"),
            (Failure::Many(vec![Failure::new("x")]), "error: x"),
            (Failure::Many(vec![Failure::Many(vec![Failure::new("x")])]), "x"),
            (Failure::Many(vec![Failure::Many(vec![status("NotFound", json!({})), Failure::new("x")])]), "Error from server (NotFound): m\nx"),
            (Failure::Many(vec![Failure::new("y"), Failure::Many(vec![status("NotFound", json!({})), Failure::new("x"), Failure::new("m")])]), "y\n[m, x]"),
            (Failure::Many(vec![Failure::new("x\n"), Failure::new("y\n")]), "x\n\ny\n"),
        ];
        for (failure, expected) in cases {
            assert_eq!(failure.report(), expected);
        }
    }
}
