//! The scheduler: finds a node for each Pod that has none, and says why when there is none.
//!
//! 1. One task follows Nodes, Pods, Namespaces and volumes and keeps the Pods that wait.
//! 2. For each waiting Pod it asks every node whether the Pod may run there (`filter`, `storage`, `affinity`, `spread`), and how well (`score`).
//! 3. It binds the Pod to the best node, or writes `FailedScheduling` and waits until something changes that could help.
//!
//! # Invariants
//! * Deciding is pure: [`decide`](decide::decide) sees a snapshot and answers; only `driver` speaks to the API.
//! * Nothing polls: a Pod is tried again because a node or another Pod changed, after a back-off derived from its attempts.
//! * Between a binding and the news of it the Pod counts on its node, so that no room is given twice.
//! * Equal scores are decided by the number of Pods and then by name, so that a lesson runs the same way twice.

mod affinity;
mod decide;
mod driver;
mod events;
mod filter;
mod pending;
mod pod_info;
mod score;
mod spread;
mod storage;
mod world;

pub use driver::run;
