//! Conditions over a mount and the volume it names, as `volumeMounts.exists(m, m.mountPath == "/data" && volumes.exists(v, v.name == m.name && has(v.hostPath)))`,
//! in words: which volume is mounted there, and of which kind.

use drydock_cel::{Bindings, Expression};
use serde_json::Value;

use super::entries::{article, described};
use super::pattern::readable;
use super::words::literal;
use crate::clauses::{cut, method};

/// A mount and the volume it names, as a condition wants them.
pub(super) struct Mounted<'a> {
    path: &'a str,
    mount: &'a str,
    /// What the mount itself must be.
    parts: Vec<&'a str>,
    volumes: &'a str,
    volume: &'a str,
    /// What the volume must be, its name left out.
    wanted: Vec<&'a str>,
}

impl<'a> Mounted<'a> {
    pub(super) fn of(text: &'a str) -> Option<Mounted<'a>> {
        let (path, _, arguments) = method(text).filter(|(path, call, _)| *call == "exists" && path.ends_with("volumeMounts") && !path.starts_with('!'))?;
        let (mount, body) = arguments.split_once(',')?;
        let mount = mount.trim();
        let (of_volume, parts): (Vec<&str>, Vec<&str>) = cut(body, "&&").into_iter().partition(|part| method(part).is_some_and(|(path, call, _)| call == "exists" && path.ends_with("volumes")));
        let [of_volume] = of_volume[..] else { return None };
        let (volumes, _, arguments) = method(of_volume)?;
        let (volume, body) = arguments.split_once(',')?;
        let volume = volume.trim();
        let own = |part: &&str| part.split_once("==").is_none_or(|(left, right)| ![left.trim(), right.trim()].contains(&format!("{mount}.name").as_str()));
        let wanted = cut(body, "&&").into_iter().filter(own).collect();
        Some(Mounted { path, mount, parts, volumes: volumes.trim_start_matches('!'), volume, wanted })
    }

    /// `a path like ``/data`` `, where the path is all that is asked of the mount.
    fn place(&self) -> Option<String> {
        let [part] = self.parts[..] else { return None };
        let path = format!("{}.mountPath", self.mount);
        if let Some((left, right)) = part.split_once("==") {
            return (left.trim() == path).then(|| literal(right)).flatten().map(|path| format!("`{path}`"));
        }
        let (left, call, argument) = method(part)?;
        let argument = literal(argument).filter(|_| left == path)?;
        Some(format!("a path like `{}`", if call == "matches" { readable(argument) } else { argument.to_owned() }))
    }

    fn kind_wanted(&self) -> String {
        described(&self.wanted.join(" && "), self.volume)
    }

    /// Why it does not hold: there is no such mount, or its volume is another.
    pub(super) fn unmet(&self, object: Option<&Value>) -> String {
        match object.and_then(|object| self.found(object)) {
            Some(found) if found.ends(self) => format!("the volume at `{}` is an `emptyDir`: it ends with its Pod", found.at),
            Some(Found { at, kind }) if kind.is_empty() => format!("there is no volume for what is mounted at `{at}`"),
            Some(Found { at, kind }) => format!("the volume at `{at}` is {}; it should be one {}", article(&format!("`{kind}`")), self.kind_wanted()),
            None => match self.place() {
                Some(place) => format!("no volume is mounted at {place}"),
                None => format!("there is no volume mount {}", described(&self.parts.join(" && "), self.mount)),
            },
        }
    }

    /// What is wanted, and what is there, for a table.
    pub(super) fn looked_at(&self, object: Option<&Value>) -> (String, String) {
        let mount = self.place().map_or_else(|| format!("mounted: a volume mount {}", described(&self.parts.join(" && "), self.mount)), |place| format!("at {place}"));
        let got = match object.and_then(|object| self.found(object)) {
            Some(Found { at, kind }) if !kind.is_empty() => format!("{} at {at}", article(&kind)),
            _ => "none".to_owned(),
        };
        (format!("a volume {}, {mount}", self.kind_wanted()).replace('`', ""), got)
    }

    /// The first mount that is as it should be, and what is mounted there.
    fn found(&self, object: &Value) -> Option<Found> {
        let mut names: Bindings = object.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
        names.insert("object".to_owned(), object.clone());
        let list = |path: &str| Expression::parse(path).ok()?.evaluate(&names).outcome.ok()?.as_array().cloned();
        let (mounts, volumes) = (list(self.path)?, list(self.volumes).unwrap_or_default());
        let fits = |mount: &&Value| {
            let mut names = names.clone();
            names.insert(self.mount.to_owned(), (*mount).clone());
            let holds = |part: &&str| Expression::parse(part).is_ok_and(|part| part.evaluate(&names).outcome == Ok(Value::Bool(true)));
            self.parts.iter().all(holds)
        };
        let mount = mounts.iter().find(fits)?;
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
        let kind = volume.and_then(Value::as_object).into_iter().flatten().map(|(field, _)| field.clone()).find(|field| field != "name");
        Some(Found { at: mount["mountPath"].as_str().unwrap_or_default().to_owned(), kind: kind.unwrap_or_default() })
    }
}

/// What is mounted, and where.
struct Found {
    at: String,
    /// Empty where there is no such volume.
    kind: String,
}

impl Found {
    /// Whether what is mounted ends with its Pod, and something else is wanted.
    fn ends(&self, wanted: &Mounted<'_>) -> bool {
        self.kind == "emptyDir" && !wanted.wanted.iter().any(|part| part.contains("emptyDir"))
    }
}
