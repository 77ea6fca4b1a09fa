//! An editing session: a text is shown until what is made of it is accepted, or given up.
//!
//! `edit` patches objects, `apply edit-last-applied` the annotation that keeps what was applied, `create --edit` creates what is left.
// upstream: kubectl/pkg/cmd/util/editor/editoptions.go

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::{Value, json};

use super::program;
use crate::builder::{Info, no_object, objects_of, read_yaml};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::merge;
use crate::print::{self, json as json_text, yaml};
use crate::rest::{Call, MERGE_PATCH, STRATEGIC_PATCH};
use crate::write::{LAST_APPLIED, Writer, remember};

const OBJECT: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n# and an empty file will abort the edit. If an error occurs while saving this file will be\n# reopened with the relevant failures.\n#\n";
const ANNOTATION: &str = "# Please edit the 'last-applied-configuration' annotations below.\n# Lines beginning with a '#' will be ignored, and an empty file will abort the edit.\n#\n";

/// What happens to the text when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Objects are patched.
    Patch,
    /// The annotation that keeps what was applied is patched.
    LastApplied,
    /// Objects are created.
    Create,
}

/// How one goes.
pub struct Session<'a> {
    factory: &'a Factory,
    writer: Writer,
    mode: Mode,
    json: bool,
    windows: bool,
    show_patch: bool,
    subresource: String,
}

/// Why a text must be edited again, for its head.
#[derive(Debug, Default)]
struct Reasons(Vec<(String, Vec<String>)>);

/// What came of a text.
enum Outcome {
    /// All is done.
    Done,
    /// To be edited again.
    Again,
    /// An object could not be written, but may be later.
    Retry,
    /// An object is gone.
    Gone,
}

impl<'a> Session<'a> {
    /// From the flags a command has.
    pub fn read(factory: &'a Factory, matches: &ArgMatches, mode: Mode) -> Result<Self, Failure> {
        let output = matches.text("output");
        Ok(Self {
            factory,
            writer: Writer::read(factory, matches)?,
            mode,
            json: output == "json",
            windows: matches.on("windows-line-endings"),
            show_patch: matches.on("output-patch"),
            subresource: matches.text("subresource"),
        })
    }

    /// Let a person edit these, until it is done.
    pub async fn run(&mut self, infos: Vec<Info>) -> Result<(), Failure> {
        let original = self.text(&infos);
        let mut reasons = Reasons::default();
        let mut before: Option<(String, PathBuf)> = None;
        loop {
            let body = before.as_ref().map_or_else(|| original.clone(), |(edited, _)| without_comments(edited));
            self.factory.streams.flush()?;
            let (edited, path) = match program::edit(&self.factory.env, &self.shown(&reasons, &body), if self.json { ".json" } else { ".yaml" }) {
                Ok(edited) => edited,
                Err(failure) => return Err(self.kept(failure, before.as_ref().map(|(_, path)| path.as_path()))),
            };
            if let Some((last, last_path)) = &before {
                if same(last, &edited) {
                    return Err(self.kept(Failure::new("Edit cancelled, no valid changes were saved."), Some(&path)));
                }
                discard(last_path);
            }
            reasons = Reasons::default();
            match self.judge(&infos, &original, &edited, &mut reasons).await {
                Ok(Outcome::Done) => {
                    discard(&path);
                    return Ok(());
                }
                Ok(Outcome::Again) => before = Some((edited, path)),
                Ok(Outcome::Retry) => {
                    self.factory.streams.warn(&format!("You can run `kubectl replace -f {}` to try this update again.", path.display()));
                    return Err(Failure::Exit(1));
                }
                Ok(Outcome::Gone) => {
                    self.factory.streams.warn(&format!("The edits you made on deleted resources have been saved to {:?}", path.display().to_string()));
                    return Err(Failure::Exit(1));
                }
                Err(failure) => return Err(self.kept(failure, Some(&path))),
            }
        }
    }

    /// The objects as they are edited.
    fn text(&self, infos: &[Info]) -> String {
        let mut object = match infos {
            [info] => info.object.clone(),
            many => json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": many.iter().map(|info| info.object.clone()).collect::<Vec<_>>()}),
        };
        print::without_managed_fields(&mut object);
        if self.json { json_text::pretty(&object, "    ") + "\n" } else { yaml::write(&object) }
    }

    fn shown(&self, reasons: &Reasons, body: &str) -> String {
        let head = if self.mode == Mode::LastApplied { ANNOTATION } else { OBJECT };
        let text = if self.json { body.to_owned() } else { format!("{head}{}{body}", reasons.text()) };
        if self.windows { text.replace('\n', "\r\n") } else { text }
    }

    async fn judge(&mut self, infos: &[Info], original: &str, edited: &str, reasons: &mut Reasons) -> Result<Outcome, Failure> {
        let streams = &self.factory.streams;
        if let Err(error) = readable(&without_comments(edited)) {
            let why = format!("<nil>: Invalid value: \"The edited file failed validation\": {error}");
            let word = infos.first().map(|info| (info.mapping.group_resource(), info.name.clone())).unwrap_or_default();
            reasons.0.push((format!("{} {:?} was not valid", word.0, word.1), vec![why]));
            streams.warn(&format!("error: {} {:?} is invalid", word.0, word.1));
            return Ok(Outcome::Again);
        }
        if same(original, edited) {
            streams.warn("Edit cancelled, no changes made.");
            return Ok(Outcome::Done);
        }
        let objects = match objects_of("edited-file", edited) {
            Ok(objects) => objects,
            Err(failure) => {
                reasons.0.push((format!("The edited file had a syntax error: {}", failure.text()), Vec::new()));
                return Ok(Outcome::Again);
            }
        };
        let mut outcome = Outcome::Done;
        // Of several failures upstream tells the last object's only.
        let mut last = Ok(());
        for mut object in objects {
            let place = self.place(&object).await?;
            // What is not shown is not edited away.
            if let Ok(origin) = origin(infos, &object)
                && !origin.object["metadata"]["managedFields"].is_null()
            {
                object["metadata"]["managedFields"] = origin.object["metadata"]["managedFields"].clone();
            }
            if self.mode != Mode::LastApplied && self.writer.save_config {
                remember(&mut object);
            }
            let info = Info { object, ..place };
            match self.mode {
                Mode::Patch => match self.patch(infos, &info, reasons).await {
                    Ok(Outcome::Done) => last = Ok(()),
                    Ok(other) => outcome = other,
                    Err(failure) => last = Err(failure),
                },
                Mode::LastApplied => self.last_applied(infos, &info).await?,
                Mode::Create => {
                    let created = self.writer.create(self.factory, &info).await?;
                    self.writer.tell(self.factory, &created, "created")?;
                }
            }
        }
        last?;
        Ok(outcome)
    }

    /// Where an edited object lives; the namespace cannot be edited.
    async fn place(&self, object: &Value) -> Result<Info, Failure> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let missing = || Failure::new(format!("no matches for kind {kind:?} in version {version:?}"));
        let mapping = self.factory.kind_of(&version, &kind).await?.ok_or_else(missing)?;
        let own = text(&object["metadata"]["namespace"]);
        let namespace = match (mapping.namespaced, own.as_str()) {
            (false, _) => String::new(),
            (true, "") => self.factory.namespace()?.0,
            (true, own) => own.to_owned(),
        };
        Ok(Info { mapping, namespace, name: text(&object["metadata"]["name"]), ..Info::default() })
    }

    /// Patch an object by what was changed of it.
    async fn patch(&mut self, infos: &[Info], info: &Info, reasons: &mut Reasons) -> Result<Outcome, Failure> {
        let original = origin(infos, &info.object)?;
        let (before, after) = (&original.object, &info.object);
        if before == after {
            self.writer.tell(self.factory, after, "skipped")?;
            return Ok(Outcome::Done);
        }
        if before["apiVersion"] != after["apiVersion"] || before["kind"] != after["kind"] || before["metadata"]["name"] != after["metadata"]["name"] {
            return Err(Failure::new("At least one of apiVersion, kind and name was changed"));
        }
        let (kind, patch) = if merge::is_built_in(&info.mapping.group) { (STRATEGIC_PATCH, merge::two_way(before, after)) } else { (MERGE_PATCH, merge::json_three_way(before, after, before)) };
        if self.show_patch {
            self.factory.streams.line(&format!("Patch: {}", json_text::compact(&patch)))?;
        }
        let path = if self.subresource.is_empty() { original.path() } else { format!("{}/{}", original.path(), self.subresource) };
        let call = self.writer.writing(Call::new(http::Method::PATCH, path)).body(kind, patch.to_string().into_bytes());
        match self.factory.call(call).await {
            Ok(object) => {
                self.writer.tell(self.factory, &object, "edited")?;
                Ok(Outcome::Done)
            }
            Err(failure) => Ok(self.refused(&failure, info, reasons)),
        }
    }

    fn refused(&self, failure: &Failure, info: &Info, reasons: &mut Reasons) -> Outcome {
        let word = format!("{} {:?}", info.mapping.group_resource(), info.name);
        let (said, outcome) = if failure.is("Invalid") {
            let Failure::Status(status) = failure else { return Outcome::Again };
            let causes = status["details"]["causes"].as_array().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            reasons.0.push((format!("{word} was not valid"), causes.map(|cause| format!("{}: {}", text(&cause["field"]), text(&cause["message"]))).collect()));
            ("is invalid".to_owned(), Outcome::Again)
        } else if failure.is("NotFound") {
            ("could not be found on the server".to_owned(), Outcome::Gone)
        } else {
            (format!("could not be patched: {}", failure.text()), Outcome::Retry)
        };
        self.factory.streams.warn(&format!("error: {word} {said}"));
        outcome
    }

    /// Patch the annotation that keeps what was applied.
    async fn last_applied(&mut self, infos: &[Info], info: &Info) -> Result<(), Failure> {
        let original = origin(infos, &info.object)?;
        if original.object == info.object {
            return self.writer.tell(self.factory, &info.object, "skipped");
        }
        let patch = json!({"metadata": {"annotations": {LAST_APPLIED: json_text::compact(&info.object) + "\n"}}});
        self.writer.patch(self.factory, info, MERGE_PATCH, &patch).await?;
        self.writer.tell(self.factory, &info.object, "edited")
    }

    /// A failure, after telling where the changes are.
    fn kept(&self, failure: Failure, path: Option<&Path>) -> Failure {
        if let Some(path) = path.filter(|path| path.exists()) {
            self.factory.streams.warn(&format!("A copy of your changes has been stored to {:?}", path.display().to_string()));
        }
        failure
    }
}

/// The object an edited one was.
fn origin<'b>(infos: &'b [Info], object: &Value) -> Result<&'b Info, Failure> {
    let found = infos.iter().find(|info| info.object["metadata"]["uid"] == object["metadata"]["uid"]);
    found.ok_or_else(|| Failure::new(format!("no original object found for {}", print::go::syntax(object))))
}

impl Reasons {
    fn text(&self) -> String {
        let commented = |text: &str| text.replace('\n', "\n# ");
        let mut text = String::new();
        for (head, more) in &self.0 {
            text.push_str(&format!("# {}{}\n", commented(head), if more.is_empty() { "" } else { ":" }));
            more.iter().for_each(|line| text.push_str(&format!("# * {}\n", commented(line))));
            text.push_str("#\n");
        }
        text
    }
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with('#') || line.trim_start().starts_with("#!")).map(|line| format!("{line}\n")).collect()
}

/// A text is an object with version and kind, whatever else it says.
fn readable(text: &str) -> Result<(), String> {
    no_object(&read_yaml(text)?).map_or(Ok(()), |why| Err(why.to_owned()))
}

/// Whether two texts say the same, whatever their form.
fn same(one: &str, other: &str) -> bool {
    match (drydock_primitives::yaml::parse(one), drydock_primitives::yaml::parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => without_comments(one) == without_comments(other),
        _ => false,
    }
}

/// A file nobody needs any more; that it cannot be removed harms nobody.
fn discard(path: &Path) {
    drop(std::fs::remove_file(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_keeps_its_first_line() {
        let text = "# told\ndata:\n  run: |\n    #!/bin/sh\n    # said\n    echo\n";
        assert_eq!(without_comments(text), "data:\n  run: |\n    #!/bin/sh\n    echo\n");
    }
}
