//! Whole clusters, driven as users drive them.

mod cluster;
mod command;
mod crash;
mod elsewhere;
mod lab;
mod mischief;
mod nodes;
mod ordinary_user;
mod probes;
mod registry;
mod services;
mod stateful;
mod terminal;
mod undo;
