//! What is done behind the writer's back: syncing the journal, and replacing its old segments by a base.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::checkpoint::{self, Current};
use crate::journal::{OpenError, replace_by_base};

/// Syncs the journal: the first commit after a pause waits `delay`, those that follow within it ride along.
pub(crate) struct Syncer {
    state: Mutex<SyncState>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct SyncState {
    file: Arc<File>,
    dirty: bool,
    closed: bool,
    /// Why a sync failed. What was to be on the disk may be lost now, and the kernel says so only once.
    failed: Option<String>,
}

impl Syncer {
    pub(crate) fn start(file: File, delay: Duration) -> Arc<Self> {
        let state = Mutex::new(SyncState { file: Arc::new(file), dirty: false, closed: false, failed: None });
        let syncer = Arc::new(Self { state, wake: Condvar::new(), thread: Mutex::default() });
        let own = Arc::clone(&syncer);
        let spawned = Builder::new().name("journal-sync".into()).spawn(move || own.run(delay));
        *lock(&syncer.thread) = spawned.inspect_err(|error| tracing::error!(%error, "cannot start the journal's sync thread")).ok();
        syncer
    }

    /// The disk should have what was written, soon.
    pub(crate) fn request(&self) {
        let mut state = lock(&self.state);
        if !state.dirty {
            state.dirty = true;
            self.wake.notify_one();
        }
    }

    /// Whether all that was asked for is on the disk, or will be.
    // man: fsync(2): pages of a failed sync count as written afterwards, so a later success proves nothing.
    pub(crate) fn check(&self) -> io::Result<()> {
        match &lock(&self.state).failed {
            None => Ok(()),
            Some(error) => Err(io::Error::other(format!("the disk did not take what was written before ({error}); restart to recover"))),
        }
    }

    /// From now on this file is written.
    pub(crate) fn replace(&self, file: File) {
        lock(&self.state).file = Arc::new(file);
    }

    /// Syncs now, in the caller's thread.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = Arc::clone(&lock(&self.state).file);
        file.sync_data()
    }

    /// Syncs a last time and ends.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_one();
        join(&self.thread);
    }

    fn run(&self, delay: Duration) {
        loop {
            let waiting = lock(&self.state);
            let state = self.wake.wait_while(waiting, |state| !state.dirty && !state.closed).unwrap_or_else(PoisonError::into_inner);
            let (mut state, _) = self.wake.wait_timeout_while(state, delay, |state| !state.closed).unwrap_or_else(PoisonError::into_inner);
            let (file, closed) = (Arc::clone(&state.file), state.closed);
            state.dirty = false;
            drop(state);
            if let Err(error) = file.sync_data() {
                tracing::error!(%error, "cannot sync the journal to the disk");
                lock(&self.state).failed = Some(error.to_string());
            }
            if closed {
                return;
            }
        }
    }
}

/// Replaces finished segments by a base. The job carries all it needs by value, so the writer goes on meanwhile.
pub(crate) struct Compactor {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The store as it was when the last of the segments was finished.
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) current: Current,
}

impl Compactor {
    pub(crate) fn start(directory: PathBuf) -> Self {
        let (jobs, work) = mpsc::channel::<Job>();
        let spawned = Builder::new().name("journal-compact".into()).spawn(move || {
            while let Ok(mut job) = work.recv() {
                // A newer job covers the older ones.
                job = work.try_iter().last().unwrap_or(job);
                if let Err(error) = compact(&directory, &job) {
                    tracing::warn!(%error, "old journal segments stay as they are");
                }
            }
        });
        let thread = spawned.inspect_err(|error| tracing::error!(%error, "cannot start the thread that compacts the journal")).ok();
        Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(thread) }
    }

    pub(crate) fn request(&self, job: Job) {
        let sent = lock(&self.jobs).as_ref().map(|jobs| jobs.send(job).is_ok());
        if sent != Some(true) {
            tracing::debug!("nobody compacts the journal any more");
        }
    }

    /// Finishes what was asked for and ends.
    pub(crate) fn close(&self) {
        drop(lock(&self.jobs).take());
        join(&self.thread);
    }
}

/// Writes the base of a job.
pub(crate) fn compact(directory: &std::path::Path, job: &Job) -> Result<(), OpenError> {
    replace_by_base(directory, job.number, &checkpoint::encode(&job.current))
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    if let Some(thread) = lock(thread).take()
        && thread.join().is_err()
    {
        tracing::error!("a thread of the journal has panicked");
    }
}

/// A guard, whoever panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
