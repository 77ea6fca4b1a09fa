//! `kubectl top`.

use clap::{ArgMatches, Command};

use crate::factory::Factory;
use crate::failure::Failure;

/// Flags of `top`.
pub fn command() -> Command {
    Command::new("top")
}

/// Flags of `top node`.
pub fn node_command() -> Command {
    Command::new("node")
}

/// Flags of `top pod`.
pub fn pod_command() -> Command {
    Command::new("pod")
}

/// `top node`.
pub async fn node(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    Err(factory.usage("top is being built"))
}

/// `top pod`.
pub async fn pod(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    Err(factory.usage("top is being built"))
}
