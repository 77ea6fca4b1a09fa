//! The layers inside this binary: tar archives made by `build.rs`, compressed with zstd.

use std::io::Read;

use crate::digest::Digest;

/// One embedded layer.
pub(crate) struct EmbeddedLayer {
    /// `userland`, or the folder under `layers/` it was made of.
    pub(crate) name: &'static str,
    /// SHA-256 of the uncompressed tar, as OCI wants it.
    diff_id: &'static str,
    /// Bytes of the uncompressed tar.
    pub(crate) size: u64,
    compressed: &'static [u8],
}

mod embedded {
    use super::EmbeddedLayer;
    include!(concat!(env!("OUT_DIR"), "/layers.rs"));
}

/// The layer every bundled image starts with: the shell, the tools and `/etc`.
pub(crate) const USERLAND: &str = "userland";

impl EmbeddedLayer {
    /// The layer of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        embedded::LAYERS.iter().find(|layer| layer.name == name)
    }

    pub(crate) fn diff_id(&self) -> Digest {
        Digest::parse(self.diff_id).expect("build.rs writes digests in this form")
    }

    /// The compressed tar.
    pub(crate) fn compressed(&self) -> &'static [u8] {
        self.compressed
    }

    /// The uncompressed tar.
    pub(crate) fn reader(&self) -> std::io::Result<impl Read> {
        zstd::Decoder::with_buffer(self.compressed)
    }
}

#[cfg(test)]
pub(crate) fn folder_exists(name: &str) -> bool {
    EmbeddedLayer::find(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_ids_are_the_digests_of_the_tars() {
        for layer in embedded::LAYERS {
            let mut tar = Vec::new();
            layer.reader().unwrap().read_to_end(&mut tar).unwrap();
            assert_eq!(tar.len() as u64, layer.size, "{}", layer.name);
            assert_eq!(Digest::of(&tar), layer.diff_id(), "{}", layer.name);
        }
    }
}
