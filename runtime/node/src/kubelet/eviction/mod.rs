//! Local storage: what Pods write to the node's disk is looked at, and who wrote more than they may is evicted.
//!
//! 1. [`watch`] looks every ten seconds, and sooner when the disk fills fast: then there is no time to lose.
//! 2. [`usage`] walks the directories of every Pod.
//! 3. [`limits`] finds Pods above a limit of their own; [`pressure`] finds out whether the node has too little left, and whom it costs.
//!
//! The node's disk is a directory of the machine, so two things can run out: what the node declares it has, and what the machine has.

// upstream: pkg/kubelet/eviction/eviction_manager.go

mod limits;
mod pressure;
mod usage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::pressure::Disk;
use self::usage::{Places, Used};
use super::node::{Node, lock};
use super::recorder::Severity;
use super::state::{name, namespace, uid};
use super::worker::Message;

/// How often usage is looked at.
// upstream: evictionMonitoringPeriod
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often to ask how much the machine has left, which is one system call.
const GLANCE_EVERY: Duration = Duration::from_secs(1);
/// So much less than at the last look is worth a look at once.
const FAST: u64 = 128 << 20;
/// How long what is on the whole disk is believed, when nothing much seems to change.
const COUNTED_FOR: Duration = Duration::from_secs(60);
/// How long an evicted Pod may take to be gone before another one is looked for.
// upstream: podCleanupTimeout
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// How long a node that was short counts as short, so that what fills a disk again and again does not make it waver. Much shorter than a
/// real node's: a reset has to end it.
// upstream: evictionPressureTransitionPeriod
const SHORT_FOR: Duration = Duration::from_secs(15);
/// A walk is not repeated before so many times what it took.
const REST: u32 = 5;
/// How long a worker may take to say which Pod it is for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Watch the disk for ever.
pub(super) async fn watch(node: Arc<Node>) {
    let mut ticks = tokio::time::interval(GLANCE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut looked, mut left, mut short) = (Instant::now(), u64::MAX, None);
    let mut whole = Whole::default();
    loop {
        ticks.tick().await;
        let now = free(&node);
        let filling = left.saturating_sub(now) > FAST || node.disk_pressure.load(Ordering::Relaxed);
        if filling || looked.elapsed() >= LOOK_EVERY {
            if look(&node, now, whole.of(&node, now).await).await {
                short = Some(Instant::now());
            }
            let pressure = short.is_some_and(|short| short.elapsed() < SHORT_FOR);
            if node.disk_pressure.swap(pressure, Ordering::Relaxed) != pressure {
                node.changed.notify_one();
            }
            (looked, left) = (Instant::now(), free(&node));
        }
    }
}

/// Everything on the node's disk: also what nobody is evicted for, such as what Pods wrote to the node's own directories.
#[derive(Default)]
struct Whole {
    counted: Option<Counted>,
}

/// A walk over the whole disk.
struct Counted {
    /// Bytes found.
    used: u64,
    /// What the machine had left then.
    free: u64,
    /// When it was over.
    at: Instant,
    /// How long it took.
    took: Duration,
}

impl Counted {
    /// Whether it is still good enough. A walk takes from everybody on the machine, so a long one is not repeated soon.
    fn holds(&self, free: u64, pressed: bool) -> bool {
        let settled = self.free.abs_diff(free) < FAST && self.at.elapsed() < COUNTED_FOR && !pressed;
        settled || self.at.elapsed() < self.took * REST
    }
}

impl Whole {
    /// Bytes now. A walk over the whole disk is worth it when much has changed, or when the node is short and may be so no more.
    async fn of(&mut self, node: &Node, free: u64) -> u64 {
        let Some(disk) = node.config.disk.clone() else { return 0 };
        let pressed = node.disk_pressure.load(Ordering::Relaxed);
        if let Some(counted) = self.counted.as_ref().filter(|counted| counted.holds(free, pressed)) {
            return counted.used;
        }
        let began = Instant::now();
        let walk = tokio::task::spawn_blocking(move || {
            let mut budget = usage::BUDGET;
            disk.places.iter().map(|place| crate::disk::size(place, &disk.except, &mut budget)).sum()
        });
        let used = walk.await.unwrap_or(0);
        self.counted = Some(Counted { used, free, at: Instant::now(), took: began.elapsed() });
        used
    }
}

/// What the machine has left for the node, in bytes. What cannot be asked is no reason to evict anybody.
fn free(node: &Node) -> u64 {
    nix::sys::statvfs::statvfs(&node.config.pods).map_or(u64::MAX, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// A Pod and what it uses.
struct Measured {
    pod: Arc<Pod>,
    used: Used,
}

/// Look once, and evict whoever has to go; says whether the node is short.
async fn look(node: &Arc<Node>, free: u64, whole: u64) -> bool {
    let pods = active(node).await;
    let places: Vec<(Arc<Pod>, Places)> = pods.into_iter().map(|pod| (Arc::clone(&pod), places(node, &pod))).collect();
    let walked = tokio::task::spawn_blocking(move || {
        let mut budget = usage::BUDGET;
        places.into_iter().map(|(pod, places)| Measured { used: places.walk(&mut budget), pod }).collect::<Vec<Measured>>()
    });
    let measured = match walked.await {
        Ok(measured) => measured,
        Err(error) => {
            tracing::warn!(%error, "cannot measure what Pods use");
            return false;
        }
    };
    let mut above = false;
    for Measured { pod, used } in &measured {
        if let Some(message) = limits::exceeded(pod, used) {
            above = true;
            evict(node, pod, message).await;
        }
    }
    if above {
        return false;
    }
    let disk = Disk { declared: declared(node), used: measured.iter().map(|measured| measured.used.total()).sum::<u64>().max(whole), free };
    let Some(shortage) = disk.shortage() else { return false };
    if !node.disk_pressure.swap(true, Ordering::Relaxed) {
        node.changed.notify_one();
    }
    tell(node, "EvictionThresholdMet", "Attempting to reclaim ephemeral-storage");
    if let Some(Measured { pod, used }) = pressure::first(&measured) {
        evict(node, pod, format!("{shortage}{}", limits::consumption(pod, used))).await;
    }
    true
}

/// Bytes the node says it has.
fn declared(node: &Node) -> u64 {
    node.config.capacity.get("ephemeral-storage").map_or(u64::MAX, |amount| limits::bytes(amount))
}

/// The Pods that run here or are about to.
async fn active(node: &Node) -> Vec<Arc<Pod>> {
    let (sender, mut answers) = mpsc::unbounded_channel();
    for worker in lock(&node.workers).values() {
        if worker.send(Message::Show(sender.clone())).is_err() {
            tracing::trace!("a worker has ended");
        }
    }
    drop(sender);
    let mut pods = Vec::new();
    let collect = async {
        while let Some(pod) = answers.recv().await {
            pods.push(pod);
        }
    };
    // One that is busy is looked at the next time.
    drop(tokio::time::timeout(ANSWER_WITHIN, collect).await);
    pods
}

/// Where a Pod writes to.
fn places(node: &Node, pod: &Pod) -> Places {
    let own = node.records.all().into_iter().filter(|record| record.uid == uid(pod) && !record.is_sandbox());
    let layers: Vec<(String, PathBuf)> = own.map(|record| (record.container, record.directory)).collect();
    Places::of(pod, &node.config.pods, &node.pod_logs(namespace(pod), name(pod), uid(pod)), layers)
}

/// Let a Pod end, and wait until what it wrote is gone.
async fn evict(node: &Arc<Node>, pod: &Arc<Pod>, message: String) {
    tracing::info!(pod = name(pod), message, "evict");
    node.recorder.pod(pod, Severity::Warning, "Evicted", message.clone());
    let (gone, done) = oneshot::channel();
    node.tell(uid(pod), Message::Evict { message, gone });
    match tokio::time::timeout(GONE_WITHIN, done).await {
        // A worker that ended has taken everything with it.
        Ok(Ok(()) | Err(_)) => {}
        Err(_) => tracing::warn!(pod = name(pod), "an evicted Pod does not end"),
    }
}

fn tell(node: &Node, reason: &'static str, message: &str) {
    let mut object = NodeObject::default();
    object.metadata.name = Some(node.config.node_name.clone());
    node.recorder.node(&object, Severity::Warning, reason, message);
}
