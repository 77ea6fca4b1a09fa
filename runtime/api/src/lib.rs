//! The API machinery of Drydock: what a kind is, and what may be written to it.
//!
//! How it works, in three steps: [`registry::Registry`] holds one [`registry::Resource`] row per served kind, built from the files in
//! [`groups`]; [`write`] turns a request body into the object to store (decode, default, prepare, validate), with [`patch`] and
//! [`apply`] computing new objects from old ones; everything a client can ask *about* a kind (Table, discovery, OpenAPI, field
//! selectors) is derived from the same row in [`table`], [`discovery`], [`openapi`] and [`fields`].
//!
//! # Invariants
//! * Pure: no IO, no clock, no randomness. Time, uid and name suffix come in through [`write::Context`].
//! * Objects are `serde_json::Value`; what a schema does not know is pruned on decode, never later.
//! * A new kind is one file in [`groups`] and nothing else.
//! * Learner-visible text equals upstream's byte for byte, and is built in [`status`] or in a rule, never by a caller.

#![allow(
    clippy::result_large_err,
    reason = "a Status is the error of the whole crate and is small enough"
)]

pub mod admission;
pub mod apply;
mod decode;
pub mod delete;
mod descriptions;
pub mod discovery;
pub mod field_error;
mod field_set;
pub mod field_validation;
pub mod fields;
mod go_print;
pub mod groups;
pub mod managed;
mod merge_order;
pub mod meta;
pub mod openapi;
mod openapi_paths;
pub mod patch;
pub mod registry;
pub mod scale;
pub mod schema;
mod schema_overlay;
pub mod status;
mod strategic;
pub mod table;
pub mod write;
