//! Jobs: what runs in the background or is stopped.

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    Shell, Trap,
    run::{Flow, Outcome},
};
use crate::sys::{self, Disposition};

/// A pipeline that the shell does not wait for.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) number: usize,
    pub(crate) group: Pid,
    /// Processes that have not ended.
    pub(crate) pids: Vec<Pid>,
    pub(crate) text: String,
    pub(crate) state: JobState,
}

/// How a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    Running,
    Stopped,
    Done(i32),
}

impl Shell {
    /// Notices what became of background jobs.
    pub(crate) fn reap(&mut self) {
        for job in &mut self.jobs {
            let mut ended = None;
            job.pids.retain(|pid| match waitpid(*pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED)) {
                Ok(WaitStatus::Exited(_, code)) => {
                    ended = Some(code);
                    false
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    ended = Some(128 + signal as i32);
                    false
                }
                Ok(WaitStatus::Stopped(..)) => {
                    job.state = JobState::Stopped;
                    true
                }
                Ok(WaitStatus::Continued(_)) => {
                    job.state = JobState::Running;
                    true
                }
                Err(Errno::ECHILD) => {
                    ended.get_or_insert(127);
                    false
                }
                _ => true,
            });
            if job.pids.is_empty() && !matches!(job.state, JobState::Done(_)) {
                job.state = JobState::Done(ended.unwrap_or(0));
            }
        }
    }

    /// Says which jobs ended since the last prompt.
    pub(crate) fn report_jobs(&mut self) {
        self.reap();
        let text = self.job_lines(|job| matches!(job.state, JobState::Done(_)));
        self.jobs.retain(|job| !matches!(job.state, JobState::Done(_)));
        drop(sys::write_all(2, text.as_bytes()));
    }

    /// Jobs from the one that `fg` means on: what stopped last, then what was started last.
    fn by_currency(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.jobs.len()).rev().collect();
        all.sort_by_key(|index| self.jobs[*index].state != JobState::Stopped);
        all
    }

    /// A job by `%1`, `%%`, `%+`, `%-`, how its command begins, or the current one.
    fn job_index(&self, name: Option<&String>) -> Option<usize> {
        match name.map(|name| name.trim_start_matches('%')) {
            None | Some("" | "%" | "+") => self.by_currency().first().copied(),
            Some("-") => self.by_currency().get(1).copied(),
            Some(number) => match number.parse::<usize>() {
                Ok(number) => self.jobs.iter().position(|job| job.number == number),
                Err(_) => self.jobs.iter().rposition(|job| job.text.starts_with(number)),
            },
        }
    }

    /// True when a job waits to go on.
    pub(crate) fn has_stopped_jobs(&mut self) -> bool {
        self.reap();
        self.jobs.iter().any(|job| job.state == JobState::Stopped)
    }

    /// The jobs that are asked for, by their numbers; `+` is the current one and `-` the one before.
    fn job_lines(&self, wanted: impl Fn(&Job) -> bool) -> String {
        let current = self.by_currency();
        let mark = |index: usize| match current.iter().position(|other| *other == index) {
            Some(0) => '+',
            Some(1) => '-',
            _ => ' ',
        };
        let mut lines: Vec<(usize, String)> =
            self.jobs.iter().enumerate().filter(|(_, job)| wanted(job)).map(|(index, job)| (job.number, line(job, mark(index)))).collect();
        lines.sort();
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// The process group of `%1`.
    pub(crate) fn job_group(&self, name: &str) -> Option<Pid> {
        self.job_index(Some(&name.to_owned())).map(|index| self.jobs[index].group)
    }

    pub(crate) fn jobs_builtin(&mut self, _: &[String]) -> Outcome {
        self.reap();
        let text = self.job_lines(|_| true);
        self.jobs.retain(|job| !matches!(job.state, JobState::Done(_)));
        drop(sys::write_all(1, text.as_bytes()));
        Ok(0)
    }

    pub(crate) fn fg_builtin(&mut self, arguments: &[String]) -> Outcome {
        let Some(index) = self.job_index(arguments.get(1)) else {
            self.complain("fg: no such job");
            return Ok(1);
        };
        let job = self.jobs.remove(index);
        drop(sys::write_all(1, format!("{}\n", job.text).as_bytes()));
        sys::foreground(job.group);
        sys::best_effort(killpg(job.group, Signal::SIGCONT));
        self.wait_foreground(job.group, job.pids, &job.text)
    }

    pub(crate) fn bg_builtin(&mut self, arguments: &[String]) -> Outcome {
        let Some(index) = self.job_index(arguments.get(1)) else {
            self.complain("bg: no such job");
            return Ok(1);
        };
        let job = &mut self.jobs[index];
        job.state = JobState::Running;
        sys::best_effort(killpg(job.group, Signal::SIGCONT));
        let text = format!("[{}]+ {} &\n", job.number, job.text);
        drop(sys::write_all(1, text.as_bytes()));
        Ok(0)
    }

    /// `wait [PID|%JOB]...`: a trapped signal ends it early.
    pub(crate) fn wait_builtin(&mut self, arguments: &[String]) -> Outcome {
        let mut pids: Vec<Pid> = Vec::new();
        for name in &arguments[1..] {
            if let Some(index) = name.starts_with('%').then(|| self.job_index(Some(name))).flatten() {
                pids.extend(&self.jobs[index].pids);
            } else if let Ok(pid) = name.parse() {
                pids.push(Pid::from_raw(pid));
            }
        }
        if arguments.len() == 1 {
            pids = self.jobs.iter().flat_map(|job| job.pids.clone()).collect();
        }
        // With a handler on SIGCHLD the wait below ends for children and for traps alike.
        sys::on_signal(Signal::SIGCHLD, Disposition::Note);
        let outcome = self.wait_for_all(&pids);
        sys::on_signal(Signal::SIGCHLD, if self.interactive { Disposition::Note } else { Disposition::Default });
        self.jobs.retain(|job| !job.pids.is_empty());
        let (status, trapped) = outcome?;
        Ok(if arguments.len() == 1 && !trapped { 0 } else { status })
    }

    /// The last status, and whether a trap ended the wait.
    fn wait_for_all(&mut self, pids: &[Pid]) -> Result<(i32, bool), Flow> {
        let mut status = 0;
        for pid in pids {
            // What ended the wait: a status, a trap's signal, or Ctrl-C.
            let ended = sys::wait_for_signal(|| match waitpid(*pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(Ok(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ok(128 + signal as i32)),
                Err(Errno::ECHILD) => Some(Ok(self.known_status(*pid))),
                _ if self.interactive && sys::is_pending(Signal::SIGINT) => Some(Err(None)),
                _ if self.hung_up() => Some(Err(Some(Signal::SIGHUP))),
                _ => self.pending_trap().map(|signal| Err(Some(signal))),
            });
            match ended {
                Ok(code) => status = code,
                Err(None) => {
                    sys::take_signal(Signal::SIGINT);
                    return Err(Flow::Interrupt);
                }
                Err(Some(signal)) => {
                    self.run_traps()?;
                    return Ok((128 + signal as i32, true));
                }
            }
            for job in &mut self.jobs {
                job.pids.retain(|other| other != pid);
            }
        }
        Ok((status, false))
    }

    fn known_status(&self, pid: Pid) -> i32 {
        let known = self.jobs.iter().find(|job| job.group == pid);
        match known.map(|job| job.state) {
            Some(JobState::Done(status)) => status,
            _ => 127,
        }
    }

    /// A trapped signal that has come; it stays pending for `run_traps`.
    fn pending_trap(&self) -> Option<Signal> {
        self.traps.keys().find_map(|trap| match trap {
            Trap::Signal(signal) if sys::is_pending(*signal) => Some(*signal),
            _ => None,
        })
    }
}

fn line(job: &Job, mark: char) -> String {
    let state = match job.state {
        JobState::Running => "Running".to_owned(),
        JobState::Stopped => "Stopped".to_owned(),
        JobState::Done(0) => "Done".to_owned(),
        JobState::Done(143) => "Terminated".to_owned(),
        JobState::Done(137) => "Killed".to_owned(),
        JobState::Done(status) => format!("Done({status})"),
    };
    let behind = if job.state == JobState::Running { " &" } else { "" };
    format!("[{}]{mark}  {state:<23} {}{behind}\n", job.number, job.text)
}
