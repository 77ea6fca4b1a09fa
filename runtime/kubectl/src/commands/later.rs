//! Commands of stock kubectl that are not here yet: they say so, and what to do instead.

use crate::failure::Failure;

const LATER: [(&str, &str); 2] = [
    ("debug", "use kubectl exec, or kubectl run -it --rm NAME --image=IMAGE for a Pod that has the tools"),
    ("kustomize", "give the built manifests with -f"),
];

/// What such a command says, whatever its flags.
pub(super) fn missing(word: &str) -> Option<Failure> {
    if word == "alpha" {
        return Some(Failure::Plain("No alpha commands are available in this version of kubectl".to_owned(), 0));
    }
    let (name, instead) = LATER.iter().find(|(name, _)| *name == word)?;
    Some(Failure::new(format!("{name} is not part of this kubectl: {instead}")))
}
