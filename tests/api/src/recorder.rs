//! A sink that remembers, in place of the evidence log.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use drydock_apiserver::audit::{AuditSink, RequestRecord, StreamRecord};
use tokio::sync::watch;

use crate::patiently;

/// Everything that was reported, in order.
#[derive(Debug)]
pub struct Recorder {
    requests: Mutex<Vec<RequestRecord>>,
    streams: Mutex<Vec<StreamRecord>>,
    changed: watch::Sender<()>,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder { requests: Mutex::default(), streams: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl AuditSink for Recorder {
    fn request(&self, record: RequestRecord) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        self.changed.send_replace(());
    }

    fn stream(&self, record: StreamRecord) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        self.changed.send_replace(());
    }
}

impl Recorder {
    /// The requests so far.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The stream reports so far.
    pub fn streams(&self) -> Vec<StreamRecord> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first stream report that `matches`, now or later.
    pub async fn stream_that(&self, what: &str, matches: impl Fn(&StreamRecord) -> bool) -> Result<StreamRecord> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                if let Some(record) = self.streams().into_iter().find(&matches) {
                    return record;
                }
                // The sender lives as long as `self`.
                drop(changed.changed().await);
            }
        };
        patiently(what, found).await
    }

    /// The first request that `matches`, now or later.
    pub async fn request_that(&self, what: &str, matches: impl Fn(&RequestRecord) -> bool) -> Result<RequestRecord> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                if let Some(record) = self.requests().into_iter().find(&matches) {
                    return record;
                }
                drop(changed.changed().await);
            }
        };
        patiently(what, found).await
    }
}
