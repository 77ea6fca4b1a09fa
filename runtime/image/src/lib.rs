//! Images: names, the catalogue, and a store of unpacked layers.
//!
//! A name goes through three steps. [`Reference::parse`] gives it its full form (`kiamol/ch02-whoami` is
//! `docker.io/kiamol/ch02-whoami:latest`). The [`Catalogue`] says how that image is obtained. [`Store::pull`] obtains
//! it: the layers are unpacked once, next to each other, as plain directories, and the caller gets an [`Image`] whose
//! `layers` it can hand to overlayfs as `lowerdir`s, lowest first.
//!
//! Bundled images are made of the userland binary (built by `build.rs`, embedded compressed) and of the files under
//! `layers/`. Images from elsewhere come into the [`Library`]: imported from files ([`portable`]), pulled from a registry
//! ([`registry`]), or made of a distribution's packages ([`recipe`]).
//!
//! # Invariants
//! * Every digest is real: a layer's is the SHA-256 of its tar, an image's id that of its configuration, an image's
//!   digest that of its manifest. The same build gives the same digests everywhere.
//! * A layer directory appears under its final name by one `rename`, complete, and is never written to again.
//!   Several processes may open the same store.
//! * Unpacking works as root of a user namespace: ids that are not mapped are left as they are.
//! * A layer is foreign input: no entry of it is written outside its directory.
//! * Nothing here knows pods, and nothing here is async.

mod archive;
mod catalogue;
mod digest;
mod error;
mod hosts;
mod keyring;
mod library;
pub mod portable;
pub mod recipe;
mod reference;
pub mod registry;
mod store;
mod trust;
mod unpack;

pub use catalogue::{Bundled, Catalogue, CatalogueError, Entry, FromPackages, Source};
pub use digest::Digest;
pub use error::{PullError, PullErrorKind, StoreError, chain};
pub use keyring::Keyring;
pub use library::{Descriptor, Library, Platform, Stored};
pub use oci_spec::image::ImageConfiguration;
pub use reference::{InvalidReference, Reference};
pub use store::{Image, PullPolicy, Pulled, Store, StoreDirs};
