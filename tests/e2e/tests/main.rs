//! Whole clusters, driven as users drive them.

mod cluster;
mod command;
mod crash;
mod nodes;
mod ordinary_user;
