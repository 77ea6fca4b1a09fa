//! The catalogue: which image names we know, and how each is obtained.
//!
//! `catalogue.yaml` is one list. An entry is **bundled** (made of layers in this crate), a **recipe** (assembled from
//! distribution packages ahead of time, perhaps with a bundled image until then) or **registry** (an ordinary pull, when
//! there is a network).

use oci_spec::image::Config;
use serde::Deserialize;

use crate::reference::{InvalidReference, Reference};

const BUILT_IN: &str = include_str!("../catalogue.yaml");

/// All entries.
#[derive(Debug, Clone)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

/// One image name.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The full name with its tag.
    pub reference: Reference,
    /// Set when the image stands in for other software; says what it is instead.
    pub stand_in: Option<String>,
    /// The books that need it to be fetched beforehand.
    pub books: Vec<String>,
    /// How the image is obtained.
    pub source: Source,
}

/// How an image is obtained.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Made of layers in this crate; always there.
    Bundled(Box<Bundled>),
    /// Assembled from distribution packages ahead of time.
    Recipe(Box<FromPackages>),
    /// An ordinary pull of this reference from its registry.
    Registry(String),
}

/// An image that a recipe makes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FromPackages {
    /// The recipe's name.
    pub name: String,
    /// What answers to the name until the recipe was followed; nothing when there is no substitute.
    #[serde(default)]
    pub until: Option<Bundled>,
}

/// A bundled image.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundled {
    /// Folders under `layers/` on top of the userland, lowest first.
    #[serde(default)]
    pub layers: Vec<String>,
    /// The `config` part of the OCI image configuration.
    pub config: Config,
}

/// The catalogue file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is not the YAML we expect.
    #[error("catalogue.yaml cannot be read")]
    Yaml(#[from] serde_yaml::Error),
    /// An entry has a malformed name.
    #[error("catalogue.yaml: image {name}")]
    Name {
        /// The name as written.
        name: String,
        /// Why it is refused.
        #[source]
        source: InvalidReference,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawEntry {
    name: String,
    /// The tags it is known by; `latest` when none is named.
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    stand_in: Option<String>,
    #[serde(default)]
    books: Vec<String>,
    #[serde(with = "serde_yaml::with::singleton_map")]
    source: Source,
}

impl Entry {
    /// What answers to the name without anything being fetched.
    pub fn bundled(&self) -> Option<&Bundled> {
        match &self.source {
            Source::Bundled(bundled) => Some(bundled),
            Source::Recipe(recipe) => recipe.until.as_ref(),
            Source::Registry(_) => None,
        }
    }
}

impl Catalogue {
    /// The catalogue inside this binary.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the built-in catalogue is checked by a test")
    }

    /// Reads a catalogue.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let raw: Vec<RawEntry> = serde_yaml::from_str(text)?;
        let mut entries = Vec::new();
        for raw in raw {
            let names = if raw.tags.is_empty() { vec![raw.name.clone()] } else { raw.tags.iter().map(|tag| format!("{}:{tag}", raw.name)).collect() };
            for name in names {
                let reference = Reference::parse(&name).map_err(|source| CatalogueError::Name { name, source })?;
                entries.push(Entry { reference, stand_in: raw.stand_in.clone(), books: raw.books.clone(), source: raw.source.clone() });
            }
        }
        Ok(Self { entries })
    }

    /// Every entry, in the file's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a name without a digest.
    pub fn find(&self, reference: &Reference) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.reference == *reference)
    }

    /// True when some tag of the repository is known.
    pub fn has_repository(&self, reference: &Reference) -> bool {
        self.entries.iter().any(|entry| {
            entry.reference.domain == reference.domain && entry.reference.path == reference.path
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    #[test]
    fn built_in_catalogue_is_sound() {
        let catalogue = Catalogue::parse(BUILT_IN).unwrap();
        for entry in catalogue.entries() {
            let same = catalogue.entries().iter().filter(|other| other.reference == entry.reference);
            assert_eq!(same.count(), 1, "{} is listed once", entry.reference);
            if let Source::Recipe(recipe) = &entry.source {
                crate::recipe::Recipe::find(&recipe.name).unwrap();
            }
            if let Some(bundled) = entry.bundled() {
                for layer in &bundled.layers {
                    assert!(archive::folder_exists(layer), "{}: layers/{layer}", entry.reference);
                }
                assert!(bundled.config.cmd().is_some() || bundled.config.entrypoint().is_some());
            }
        }
    }
}
