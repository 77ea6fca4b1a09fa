//! The tests of the API server: what it answers, checked at the wire, by the stock kubectl and by kube-rs.

#![allow(clippy::too_many_lines, reason = "tables of cases are long and flat")]

mod audit;
mod extensions;
mod identity;
mod kubectl;
mod lists;
mod objects;
mod rust_client;
mod storage;
mod streams;
mod watches;
