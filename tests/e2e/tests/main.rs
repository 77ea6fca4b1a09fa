//! Whole clusters, driven as users drive them.

mod cluster;
mod command;
mod crash;
mod lab;
mod mischief;
mod nodes;
mod ordinary_user;
mod services;
mod terminal;
mod undo;
