//! The machine beside the book: terminals of the workstation, the picture of the cluster, files, reset.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use drydock_checks::clients::Clients;
use drydock_checks::grader::Grader;
use drydock_checks::watch as follow;
use drydock_checks::world::{Point, World};
use drydock_terminal::Terminals;
use drydock_web::Pending;
use drydock_web::pane::{Duplex, Target};
use drydock_web::workbench::{Phase, Reset, Restored, Status, Step, Version, Workbench};
use tokio::sync::{broadcast, mpsc, watch};

use super::back::Back;
use super::changes::Changes;
use super::dial;
use super::picture;
use super::shell::WorkstationShell;
use crate::exec::{LAB, encode, sentence};
use crate::processes;

/// Lines a terminal remembers.
const SCROLLBACK: usize = 5000;
/// The learner's home.
pub(crate) const HOME: &str = "/home/learner";
/// The cluster's memory is looked at when the picture changes, and not more often than this.
const WEIGH_EVERY: Duration = Duration::from_secs(5);

/// The workbench of a running cluster.
pub(crate) struct LabWorkbench {
    clients: Clients,
    /// The cluster, when it is not ours.
    subject: Option<String>,
    terminals: Terminals,
    status: watch::Sender<Arc<Status>>,
    phase: watch::Sender<Phase>,
    grader: OnceLock<Grader>,
    changes: Changes,
    back: Back,
}

impl LabWorkbench {
    /// The workbench of the cluster behind these clients, which took these steps to boot; `subject` is its name when it is not ours. What its
    /// terminals show is kept in a directory.
    pub(crate) fn start(clients: Clients, steps: Vec<Step>, subject: Option<String>, screens: &Path) -> Arc<LabWorkbench> {
        let client = clients.lab.clone();
        let terminals = Terminals::new(Arc::new(WorkstationShell::new(client.clone())), SCROLLBACK).kept_in(screens);
        let status = watch::Sender::new(Arc::new(Status { phase: Phase::Ready, steps: steps.clone(), subject: subject.clone(), ..Status::default() }));
        let phase = watch::Sender::new(Phase::Ready);
        let workbench = Arc::new(LabWorkbench { clients, subject, terminals, status, phase, grader: OnceLock::new(), changes: Changes::default(), back: Back::follow(client) });
        tokio::spawn(draw(Arc::clone(&workbench), steps));
        workbench
    }

    /// The grader to reset with the cluster.
    pub(crate) fn judged_by(&self, grader: Grader) {
        if self.grader.set(grader).is_err() {
            tracing::error!("the workbench has a grader already");
        }
    }

    async fn reset_scope(&self, scope: Reset, typed_in: Option<&str>) -> Result<Vec<String>, String> {
        match scope {
            Reset::Chapter { chapter } => {
                self.back.reset().await?;
                self.terminals.close_all_but(typed_in).await;
                match self.grader.get() {
                    Some(grader) => grader.reset(&chapter).await.map(|()| Vec::new()).map_err(|error| format!("Progress could not be reset: {error}.")),
                    None => Ok(Vec::new()),
                }
            }
            Reset::Exercise { .. } if self.subject.is_some() => Err(self.no_way_back()),
            Reset::Exercise { chapter, section } => {
                let to = self.back.restore(&drydock_web::mark_of(&chapter, &section)).await?;
                self.rewind(to, Some((&chapter, &section))).await
            }
        }
    }

    /// Why there is none.
    fn no_way_back(&self) -> String {
        let name = self.subject.as_deref().unwrap_or_default();
        format!("{name} is not Drydock's own cluster, so it cannot be taken back or moved in time; change it back with kubectl")
    }

    async fn undo_last(&self) -> Result<Option<Restored>, String> {
        if self.subject.is_some() {
            return Err(self.no_way_back());
        }
        let Some((undone, to)) = self.back.undo().await? else { return Ok(None) };
        let reopened = self.rewind(to, None).await?;
        Ok(Some(Restored { reopened, ..undone }))
    }

    /// The grader goes back with the cluster.
    async fn rewind(&self, to: Option<Point>, unit: Option<(&str, &str)>) -> Result<Vec<String>, String> {
        let (Some(grader), Some(to)) = (self.grader.get(), to) else { return Ok(Vec::new()) };
        grader.rewind(to, unit).await.map_err(|error| format!("Checks could not be opened again: {error}."))
    }

    /// What takes a moment and closes the cluster meanwhile.
    async fn busy<T>(&self, work: impl Future<Output = T>) -> T {
        self.phase.send_replace(Phase::Resetting);
        let _over = Over(&self.phase);
        work.await
    }
}

/// The cluster is ready again when this goes, whether the work came to its end or was given up.
struct Over<'a>(&'a watch::Sender<Phase>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.send_replace(Phase::Ready);
    }
}

/// Draw the picture anew whenever something in it changes.
async fn draw(workbench: Arc<LabWorkbench>, steps: Vec<Step>) {
    let kinds = picture::KINDS.iter().copied().chain(["Node"]).map(str::to_owned).collect();
    let (sender, mut news) = mpsc::unbounded_channel();
    let _watches = follow::follow(&workbench.clients, kinds, false, u64::MAX, sender);
    let mut world = World::default();
    let mut phase = workbench.phase.subscribe();
    let (mut memory, mut weighed) = (None, None::<Instant>);
    loop {
        tokio::select! {
            update = news.recv() => {
                let Some(update) = update else { return };
                update.apply(&mut world);
                while let Ok(update) = news.try_recv() {
                    update.apply(&mut world);
                }
                workbench.changes.remember(&world, &picture::KINDS);
                // The picture shows now; what was is told by the timeline.
                world.forget_changes();
            }
            changed = phase.changed() => if changed.is_err() { return },
        }
        if weighed.is_none_or(|last| last.elapsed() > WEIGH_EVERY) {
            memory = processes::memory().inspect_err(|error| tracing::debug!(%error, "memory")).ok();
            weighed = Some(Instant::now());
        }
        let status = Status { memory, subject: workbench.subject.clone(), ..picture::draw(&world, phase.borrow_and_update().clone(), steps.clone()) };
        workbench.status.send_if_modified(|known| {
            let news = **known != status;
            if news {
                *known = Arc::new(status);
            }
            news
        });
    }
}

impl Workbench for LabWorkbench {
    fn terminals(&self) -> Terminals {
        self.terminals.clone()
    }

    fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    fn reset(&self, scope: Reset, typed_in: Option<&str>) -> Pending<'_, Result<Vec<String>, String>> {
        let typed_in = typed_in.map(str::to_owned);
        Box::pin(async move { self.busy(self.reset_scope(scope, typed_in.as_deref())).await })
    }

    fn undoable(&self) -> Pending<'_, Result<Option<Restored>, String>> {
        Box::pin(async move { if self.subject.is_some() { Ok(None) } else { self.back.undoable().await } })
    }

    fn undo(&self) -> Pending<'_, Result<Option<Restored>, String>> {
        Box::pin(self.undo_last())
    }

    fn skip(&self, duration: &str) -> Pending<'_, Result<Restored, String>> {
        let duration = duration.to_owned();
        Box::pin(async move { if self.subject.is_some() { Err(self.no_way_back()) } else { self.back.skip(&duration).await } })
    }

    fn mark(&self, name: &str, label: &str) -> Pending<'_, Result<(), String>> {
        let (name, label) = (name.to_owned(), label.to_owned());
        Box::pin(async move { if self.subject.is_some() { Ok(()) } else { self.back.mark(&name, &label).await } })
    }

    fn keep_scene(&self, chapter: &str) -> Pending<'_, Result<(), String>> {
        let chapter = chapter.to_owned();
        Box::pin(self.busy(async move { self.back.keep_scene(&chapter).await }))
    }

    fn show_scene(&self, chapter: &str, typed_in: Option<&str>) -> Pending<'_, Result<(), String>> {
        let (chapter, typed_in) = (chapter.to_owned(), typed_in.map(str::to_owned));
        Box::pin(self.busy(async move {
            self.back.show_scene(&chapter).await?;
            self.terminals.close_all_but(typed_in.as_deref()).await;
            Ok(())
        }))
    }

    fn restored(&self) -> broadcast::Receiver<Arc<Restored>> {
        self.back.subscribe()
    }

    fn changes(&self, uid: &str) -> Vec<Version> {
        self.changes.of(uid)
    }

    fn dial(&self, target: &Target) -> Pending<'_, Result<Box<dyn Duplex>, String>> {
        let target = target.clone();
        Box::pin(async move { dial::dial(&self.clients, &target).await.map_err(|error| format!("{error:#}")) })
    }

    fn read_file(&self, path: &str) -> Pending<'_, Result<Option<Vec<u8>>, String>> {
        let path = absolute(path);
        Box::pin(async move {
            let request = http::Request::get(format!("{LAB}/workstations/main/files?path={}", encode(&path))).body(Vec::new());
            let request = request.map_err(|error| error.to_string())?;
            match self.clients.lab.request_text(request).await {
                Ok(text) => Ok(Some(text.into_bytes())),
                Err(kube::Error::FromUtf8(error)) => Ok(Some(error.into_bytes())),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                Err(error) => Err(format!("{path} cannot be read: {:#}", sentence(error))),
            }
        })
    }

    fn write_file(&self, path: &str, bytes: Vec<u8>) -> Pending<'_, Result<(), String>> {
        let path = absolute(path);
        Box::pin(async move {
            let request = http::Request::put(format!("{LAB}/workstations/main/files?path={}", encode(&path))).body(bytes);
            let request = request.map_err(|error| error.to_string())?;
            let written = self.clients.lab.request_text(request).await;
            written.map(drop).map_err(|error| format!("{path} cannot be written: {:#}", sentence(error)))
        })
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{HOME}/{}", path.trim_start_matches("~/")) }
}
