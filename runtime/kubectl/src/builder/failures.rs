//! What failed while objects were asked for, kept apart by where they stood: that tells how it is said in the end.
// upstream: cli-runtime/pkg/resource/visitor.go {ContinueOnError,EagerVisitorList,FlattenList}Visitor

use crate::failure::Failure;

/// Where something asked for stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was named, or it failed only when it was worked on.
    Named,
    /// A document of a file, or a list of the server.
    Source,
    /// An item of the list with this number, in a file.
    Item(usize),
}

/// What failed so far.
#[derive(Debug, Default)]
pub struct Failures {
    named: Vec<Failure>,
    sources: Vec<(Origin, Failure)>,
}

impl Failures {
    /// One more; one that leaves nothing worth doing ends all.
    pub fn push(&mut self, origin: Origin, failure: Failure) -> Result<(), Failure> {
        match (origin, failure) {
            (_, failure @ (Failure::Unreachable(_) | Failure::Exit(_))) => return Err(failure),
            (Origin::Named, failure) => self.named.push(failure),
            (origin, failure) => self.sources.push((origin, failure)),
        }
        Ok(())
    }

    /// Whether nothing failed.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.sources.is_empty()
    }

    /// All as one: those of sources are one behind the rest, and within it those of each list are one.
    pub fn whole(self) -> Option<Failure> {
        let mut sources: Vec<Failure> = Vec::new();
        let mut last = None;
        for (origin, failure) in self.sources {
            match sources.last_mut() {
                Some(Failure::Many(list)) if last == Some(origin) && origin != Origin::Source => list.push(failure),
                _ if origin == Origin::Source => sources.push(failure),
                _ => sources.push(Failure::Many(vec![failure])),
            }
            last = Some(origin);
        }
        let mut all = self.named;
        all.extend(Failure::together(sources).err());
        Failure::all(all).err()
    }
}
