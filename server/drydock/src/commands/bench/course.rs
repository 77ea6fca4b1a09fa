//! What the course needs: every chapter is played as `drydock author test` plays it, and after each exercise it is looked at how much memory
//! the cluster with all that runs in it takes.

use std::io::{self, Write};
use std::path::Path;

use anyhow::bail;
use drydock_author::test::{self, Options};

use super::{Figure, say};
use crate::commands::{author, cluster};
use crate::page::course::Content;
use crate::processes;
use crate::state::State;

/// The most that was taken after any exercise of any chapter. Images fetched for the state `fetched` are there; exercises whose image is not are left out.
pub(super) fn memory(directory: &Path, fetched: &State) -> anyhow::Result<Figure> {
    let content = Content::load(None)?;
    let missing = author::missing(fetched)?;
    let state = State::find(Some(directory.join("course")))?;
    let (running, _) = author::start(&state, &content, fetched, cluster::Tools::BuiltIn)?;
    let (chapter, most) = cluster::wait_for(async {
        let stage = author::stage(&state, &running.directory, &content).await?;
        let mut largest = (String::new(), 0);
        for id in test::chapters(content.course(), &Options::default()) {
            say(&format!("memory in {id}"));
            let mut highest = Highest(0);
            let options = Options { chapter: Some(id.clone()), missing: missing.clone(), ..Options::default() };
            let summary = test::course(content.course(), &stage, &options, &mut highest).await?;
            if summary.failed() > 0 {
                bail!("{id} did not pass: {}", summary.line());
            }
            if highest.0 > largest.1 {
                largest = (id, highest.0);
            }
        }
        anyhow::Ok(largest)
    })?;
    drop(running);
    let left_out = if missing.is_empty() { "" } else { ", without what was not prefetched" };
    Ok(Figure::once(format!("memory (PSS) after an exercise, at most ({chapter}{left_out})"), most as f64 / f64::from(1 << 20), "MiB", ""))
}

/// Looks at the memory whenever an exercise is done, which is when a line is written.
struct Highest(u64);

impl Write for Highest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.contains(&b'\n') {
            self.0 = self.0.max(processes::memory()?);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
