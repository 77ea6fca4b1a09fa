//! The console log of .NET's hosting library: two lines for each message, filtered by level and category.

use super::settings::Settings;
use crate::sys;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Trace,
    Debug,
    Information,
    Warning,
    Error,
    Critical,
    /// As a filter: nothing.
    None,
}

impl Level {
    fn named(name: &str) -> Option<Self> {
        let all = [
            ("trace", Self::Trace),
            ("debug", Self::Debug),
            ("information", Self::Information),
            ("warning", Self::Warning),
            ("error", Self::Error),
            ("critical", Self::Critical),
            ("none", Self::None),
        ];
        all.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, level)| *level)
    }

    fn short(self) -> &'static str {
        match self {
            Self::Trace => "trce",
            Self::Debug => "dbug",
            Self::Information => "info",
            Self::Warning => "warn",
            Self::Error => "fail",
            Self::Critical | Self::None => "crit",
        }
    }
}

/// True when messages of this level and category are to be seen: the longest name that begins the category decides.
pub(super) fn is_seen(settings: &Settings, level: Level, category: &str) -> bool {
    let mut name = Some(category);
    while let Some(prefix) = name {
        if let Some(least) = settings.get(&format!("Logging:LogLevel:{prefix}")).and_then(Level::named) {
            return level >= least;
        }
        name = prefix.rsplit_once('.').map(|(shorter, _)| shorter);
    }
    let least = settings.get("Logging:LogLevel:Default").and_then(Level::named).unwrap_or(Level::Information);
    level >= least
}

/// Writes a message in one go, so that messages of several threads do not mix.
pub(super) fn write(settings: &Settings, level: Level, category: &str, id: u32, message: &str) {
    if !is_seen(settings, level, category) {
        return;
    }
    let text = format!("{}: {category}[{id}]\n      {}\n", level.short(), message.replace('\n', "\n      "));
    // Nobody reads the log: nothing to be done about it here.
    drop(sys::write_all(1, text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::{super::settings::Sources, *};

    #[test]
    fn the_longest_category_decides() {
        let variable = |name: &str, value: &str| (format!("Logging__LogLevel__{name}"), value.to_owned());
        let variables = vec![variable("Default", "Warning"), variable("ToDoList.Pages", "Debug"), variable("Microsoft", "none")];
        let settings = Sources::new(Vec::new(), variables).read().unwrap();
        let cases = [
            (Level::Debug, "ToDoList.Pages.IndexModel", true),
            (Level::Trace, "ToDoList.Pages.IndexModel", false),
            (Level::Debug, "ToDoList.PagesOther", false),
            (Level::Information, "ToDoList", false),
            (Level::Warning, "ToDoList", true),
            (Level::Critical, "Microsoft.Hosting.Lifetime", false),
        ];
        for (level, category, seen) in cases {
            assert_eq!(is_seen(&settings, level, category), seen, "{level:?} {category}");
        }
    }
}
