//! `--profile` and `--profile-output`: a file as stock kubectl writes one. There is no Go here to profile, so the profile is empty.
// upstream: kubectl/pkg/cmd/profiling.go

use clap::ArgMatches;

use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::Flags;

/// Nothing, compressed: a profile without samples.
const EMPTY: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A profile that is asked for.
pub(crate) struct Profile {
    /// Where it is written at the end.
    output: Option<String>,
}

impl Profile {
    /// Before the command runs; the exit code when there is no such profile or no room for it.
    pub(crate) fn begin(factory: &Factory, matches: &ArgMatches) -> Result<Self, i32> {
        let (name, output) = (matches.text("profile"), matches.text("profile-output"));
        let refused = |why: String| {
            crate::write::klog(factory, 'E', "run.go:72", &format!("\"command failed\" err={}", crate::trace::logged(&why)));
            1
        };
        match name.as_str() {
            "none" => Ok(Self { output: None }),
            "cpu" => std::fs::write(factory.env.path(&output), EMPTY).map(|()| Self { output: None }).map_err(|error| refused(format!("open {output}: {}", go_io(&error)))),
            "heap" | "allocs" | "goroutine" | "threadcreate" | "block" | "mutex" => Ok(Self { output: Some(output) }),
            _ => Err(refused(format!("unknown profile '{name}'"))),
        }
    }

    /// After a command that went well.
    pub(crate) fn end(&self, factory: &Factory) -> Result<(), Failure> {
        let Some(output) = &self.output else { return Ok(()) };
        std::fs::write(factory.env.path(output), EMPTY).map_err(|error| Failure::new(format!("open {output}: {}", go_io(&error))))
    }
}
