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
        let mut text = String::new();
        for job in &self.jobs {
            if let JobState::Done(_) = job.state {
                text.push_str(&line(job));
            }
        }
        self.jobs.retain(|job| !matches!(job.state, JobState::Done(_)));
        drop(sys::write_all(2, text.as_bytes()));
    }

    /// A job by `%1`, `%%`, `%+`, or the last one.
    fn job_index(&self, name: Option<&String>) -> Option<usize> {
        match name.map(|name| name.trim_start_matches('%')) {
            None | Some("" | "%" | "+") => self.jobs.len().checked_sub(1),
            Some(number) => {
                let number: usize = number.parse().ok()?;
                self.jobs.iter().position(|job| job.number == number)
            }
        }
    }

    /// The process group of `%1`.
    pub(crate) fn job_group(&self, name: &str) -> Option<Pid> {
        self.job_index(Some(&name.to_owned())).map(|index| self.jobs[index].group)
    }

    pub(crate) fn jobs_builtin(&mut self, _: &[String]) -> Outcome {
        self.reap();
        let text: String = self.jobs.iter().map(line).collect();
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

fn line(job: &Job) -> String {
    let state = match job.state {
        JobState::Running => "Running".to_owned(),
        JobState::Stopped => "Stopped".to_owned(),
        JobState::Done(0) => "Done".to_owned(),
        JobState::Done(143) => "Terminated".to_owned(),
        JobState::Done(137) => "Killed".to_owned(),
        JobState::Done(status) => format!("Done({status})"),
    };
    format!("[{}]+  {state:<23} {}\n", job.number, job.text)
}
