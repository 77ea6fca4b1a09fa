//! Judging exercises: evidence in, verdicts and reasons out.
//!
//! 1. [`world`] holds what is known: objects, their changes, commands, streams, containers, answers.
//! 2. [`eval`] asks a check's question of the world; [`explain`] says why the answer is no. Both are pure.
//! 3. [`engine`] keeps windows, baselines and latches of one chapter: what is progress.
//! 4. [`watch`] keeps the world fresh from the cluster (`foreign`: from one that is not ours), [`probe`] asks what only a request can tell,
//!    [`grader`] runs it all.
//!
//! A source that checks can ask gets its evidence in [`world`] or [`probe`], its question in [`eval`], what it reads in [`reads`], whether it
//! can be asked elsewhere in [`elsewhere`], what is wrong with how it is written in [`compile`], and its reasons in [`explain`].
//!
//! # Invariants
//! * A verdict is a function of the world, the probes and the check: the same evidence gives the same verdict.
//! * Nothing polls. A check is judged again when something it reads has changed; probes make at most eight tries a trigger, within 40 seconds.
//! * The page's own requests are never evidence.

mod answer;
mod clauses;
pub mod clients;
pub mod compile;
pub mod elsewhere;
pub mod engine;
pub mod eval;
pub mod explain;
mod foreign;
pub mod grader;
pub mod interpolate;
pub mod plan;
pub mod probe;
pub mod reads;
pub mod select;
pub mod trigger;
mod typed;
pub mod verdict;
pub mod watch;
pub mod world;
