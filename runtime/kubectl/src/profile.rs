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
    /// Before the command runs; an error when there is no such profile or no room for it.
    pub(crate) fn begin(factory: &Factory, matches: &ArgMatches) -> Result<Self, Failure> {
        let (name, output) = (matches.text("profile"), matches.text("profile-output"));
        match name.as_str() {
            "none" => Ok(Self { output: None }),
            "cpu" => {
                write(factory, &output)?;
                Ok(Self { output: None })
            }
            "heap" | "allocs" | "goroutine" | "threadcreate" | "block" | "mutex" => Ok(Self { output: Some(output) }),
            _ => Err(Failure::new(format!("unknown profile '{name}'"))),
        }
    }

    /// After a command that went well.
    pub(crate) fn end(&self, factory: &Factory) -> Result<(), Failure> {
        self.output.as_ref().map_or(Ok(()), |output| write(factory, output))
    }
}

fn write(factory: &Factory, output: &str) -> Result<(), Failure> {
    std::fs::write(factory.env.path(output), EMPTY).map_err(|error| Failure::new(format!("open {output}: {}", go_io(&error))))
}
