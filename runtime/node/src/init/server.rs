//! The one loop of node-init: calls in, replies and events out, children reaped, timers kept.
//!
//! Nothing in it waits for a client or for a container's program. What it does wait for, briefly, is the kernel and the children it
//! forks between `clone3` and `execve`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use drydock_container::Ended;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::children::Children;
use super::connection::{Connection, Health};
use super::node::Node;
use super::protocol::{Call, Event, Failure, Message, Reply, Request};
use super::room::Room;

/// Calls taken from one client before the others get their turn.
const CALLS_PER_TURN: usize = 32;
/// How soon a control group that was still busy is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(50);
/// How often memory is looked at where the kernel does not limit it.
const MEMORY_LOOK: Duration = Duration::from_millis(20);

pub(super) struct Server {
    node: Node,
    children: Children,
    listener: OwnedFd,
    signals: SignalFd,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    /// When memory is looked at again, while there is something to look at.
    next_look: Option<Instant>,
    room: Option<Room>,
    life: Life,
}

#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    Over,
}

impl Server {
    pub(super) fn new(node: Node, children: Children, listener: OwnedFd, signals: SignalFd, inherited: Option<OwnedFd>) -> Server {
        let connections = inherited.into_iter().map(|socket| (0, Connection::new(socket))).collect();
        Server { node, children, listener, signals, connections, next_connection: 1, next_look: None, room: None, life: Life::GoesOn }
    }

    /// With an eye on the disk.
    pub(super) fn with_room(mut self, room: Option<Room>) -> Server {
        self.room = room;
        self
    }

    /// When the disk is looked at again, if at all.
    fn watch_disk(&mut self) -> Option<Instant> {
        let room = self.room.as_mut()?;
        let own = self.children.list().filter_map(|(_, pid)| pid).chain([nix::unistd::getpid().as_raw()]).collect();
        let next = room.look(&own);
        if let Some((namespace, whose)) = room.take_ended() {
            self.node.disk_full(namespace, &whose);
        }
        Some(next)
    }

    /// Serve until told to power off.
    pub(super) fn run(&mut self) -> ExitCode {
        while self.life == Life::GoesOn {
            let due = self.children.tend();
            let busy = self.node.tidy_groups().then(|| Instant::now() + BUSY_RETRY);
            let now = Instant::now();
            if self.next_look.is_none_or(|at| at <= now) {
                self.next_look = self.node.watch_memory().then(|| now + MEMORY_LOOK);
            }
            let disk = self.watch_disk();
            match self.turn(due.into_iter().chain(busy).chain(self.next_look).chain(disk).min()) {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    eprintln!("node-init: poll: {errno}");
                    return ExitCode::FAILURE;
                }
            }
        }
        ExitCode::SUCCESS
    }

    fn turn(&mut self, until: Option<Instant>) -> Result<(), Errno> {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN), PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        for connection in self.connections.values() {
            let out = if connection.has_outbox() { PollFlags::POLLOUT } else { PollFlags::empty() };
            polled.push(PollFd::new(connection.fd(), PollFlags::POLLIN | out));
        }
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            // Rounded up, so that waking early does not spin.
            let millis = until.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(millis.min(60_000) as i32).unwrap_or(PollTimeout::ZERO)
        });
        poll(&mut polled, timeout)?;
        let happened: Vec<PollFlags> = polled.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect();
        drop(polled);
        if !happened[0].is_empty() {
            while let Ok(Some(_)) = self.signals.read_signal() {}
        }
        // Always: a signal that came while a start waited for its own child stands for any number of others.
        self.reap();
        if !happened[1].is_empty() {
            self.accept();
        }
        for (id, flags) in ids.into_iter().zip(&happened[2..]) {
            if flags.contains(PollFlags::POLLOUT) && self.connections.get_mut(&id).map(Connection::flush) == Some(Health::Gone) {
                self.connections.remove(&id);
            }
            if flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
                self.serve(id);
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        match Connection::accept(self.listener.as_fd()) {
            Ok(Some(connection)) => {
                self.connections.insert(self.next_connection, connection);
                self.next_connection += 1;
            }
            Ok(None) => {}
            Err(error) => eprintln!("node-init: accept: {error}"),
        }
    }

    fn serve(&mut self, id: u64) {
        for _ in 0..CALLS_PER_TURN {
            let received = match self.connections.get(&id) {
                Some(connection) => connection.receive(),
                None => return,
            };
            match received {
                Ok(Some(call)) => self.answer(id, call),
                Ok(None) => return,
                Err(_) => {
                    self.connections.remove(&id);
                    return;
                }
            }
        }
    }

    fn answer(&mut self, connection: u64, call: Call) {
        let (result, fds) = match self.carry_out(call.request) {
            Ok((reply, fds)) => (Ok(reply), fds),
            Err(failure) => (Err(failure), Vec::new()),
        };
        let message = Message::Reply { id: call.id, result };
        if self.connections.get_mut(&connection).map(|connection| connection.send(&message, fds)) == Some(Health::Gone) {
            self.connections.remove(&connection);
        }
        // After the reply: whoever asked has the id before the event that ends it.
        self.announce();
    }

    fn carry_out(&mut self, request: Request) -> Result<(Reply, Vec<OwnedFd>), Failure> {
        match request {
            Request::Child { name, action } => {
                if self.children.act(&name, action) {
                    Ok((Reply::Done, Vec::new()))
                } else {
                    Err(Failure::NotFound { kind: "child".into(), id: name })
                }
            }
            Request::PowerOff => {
                self.life = Life::Over;
                Ok((Reply::Done, Vec::new()))
            }
            Request::List => {
                let mut inventory = self.node.inventory();
                inventory.children = self.children.list().collect();
                Ok((Reply::List(inventory), Vec::new()))
            }
            other => self.node.carry_out(other),
        }
    }

    /// Collect every process that has ended: ours, and orphans, whose new parent PID 1 is.
    fn reap(&mut self) {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(status) => status,
            };
            let (Some(pid), Some(ended)) = (status.pid(), Ended::from_status(status)) else { continue };
            if let Some(name) = self.children.ended(pid, ended) {
                self.node.note(Event::ChildExited { name, exit: Node::exit(ended) });
            } else {
                self.node.ended(pid.as_raw(), ended);
            }
        }
        self.announce();
    }

    fn announce(&mut self) {
        for event in self.node.take_events() {
            let message = Message::Event(event);
            self.connections.retain(|_, connection| connection.send(&message, Vec::new()) == Health::Good);
        }
    }
}
