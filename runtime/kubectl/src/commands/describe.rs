//! `kubectl describe`.

use clap::{ArgMatches, Command};

use crate::factory::Factory;
use crate::failure::Failure;

/// Its flags.
pub fn command() -> Command {
    Command::new("describe")
}

/// Do it.
pub async fn run(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    Err(factory.usage("describe is being built"))
}
