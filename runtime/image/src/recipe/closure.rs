//! Which packages an image needs: those asked for and what they depend on, without what a recipe leaves out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use super::fits;

/// A package as the distribution's index describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
    /// What must be there: each a list of names of which one is enough.
    #[serde(skip)]
    pub(crate) depends: Vec<Vec<String>>,
    #[serde(skip)]
    pub(crate) provides: Vec<String>,
}

/// Reads the paragraphs of a package index.
pub(crate) fn parse(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        let mut last = "";
        for line in paragraph.lines() {
            if line.starts_with([' ', '\t']) {
                if let Some(value) = fields.get_mut(last) {
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                last = name;
                fields.insert(name, value.trim().to_owned());
            }
        }
        let get = |name: &str| fields.get(name).cloned().unwrap_or_default();
        if get("Package").is_empty() {
            continue;
        }
        packages.push(Package {
            name: get("Package"),
            version: get("Version"),
            sha256: get("SHA256"),
            size: get("Size").parse().unwrap_or(0),
            depends: [get("Pre-Depends"), get("Depends")].iter().flat_map(|list| list.split(',')).map(alternatives).filter(|names| !names.is_empty()).collect(),
            provides: get("Provides").split(',').filter_map(bare_name).collect(),
        });
    }
    packages
}

fn alternatives(text: &str) -> Vec<String> {
    text.split('|').filter_map(bare_name).collect()
}

/// `libc6:any (>= 2.34)` is `libc6`.
fn bare_name(text: &str) -> Option<String> {
    let name = text.trim().split([' ', '(', '[', ':']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The packages needed, in the order of the candidates. An alternative is the first that is among the candidates.
pub(crate) fn closure(candidates: &[Package], roots: &[String], omit: &[String]) -> Vec<Package> {
    let omitted = |name: &str| omit.iter().any(|pattern| fits(pattern, name));
    let provider = |name: &String| {
        let named = candidates.iter().find(|package| package.name == *name);
        named.or_else(|| candidates.iter().find(|package| package.provides.contains(name)))
    };
    let mut needed = BTreeSet::new();
    let mut open: VecDeque<&Package> = candidates.iter().filter(|package| roots.iter().any(|root| fits(root, &package.name))).collect();
    while let Some(package) = open.pop_front() {
        if omitted(&package.name) || !needed.insert(&package.name) {
            continue;
        }
        open.extend(package.depends.iter().filter_map(|names| names.iter().find_map(provider)));
    }
    candidates.iter().filter(|package| needed.contains(&package.name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: web\nVersion: 1.2\nSize: 5\nSHA256: ab\nDepends: libc (>= 2), mail | mta,\n net:any\nPre-Depends: base\n\n\
        Package: libc\nVersion: 2\n\nPackage: exim\nVersion: 4\nProvides: mta (= 1), x\nDepends: perl\n\nPackage: perl\nVersion: 5\nDepends: libc\n\n\
        Package: net\nVersion: 1\nDepends: web\n\nPackage: base\nVersion: 1\n\nPackage: unrelated\nVersion: 1\n";

    fn names(roots: &[&str], omit: &[&str]) -> Vec<String> {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        closure(&parse(INDEX), &own(roots), &own(omit)).into_iter().map(|package| package.name).collect()
    }

    #[test]
    fn what_is_needed_is_followed_and_what_is_omitted_is_not() {
        let cases: [(&[&str], &[&str], &[&str]); 4] = [
            (&["web"], &[], &["web", "libc", "exim", "perl", "net", "base"]),
            (&["web"], &["exim"], &["web", "libc", "net", "base"]),
            (&["web"], &["p*", "net"], &["web", "libc", "exim", "base"]),
            (&["un*"], &[], &["unrelated"]),
        ];
        for (roots, omit, wanted) in cases {
            assert_eq!(names(roots, omit), wanted, "{roots:?} without {omit:?}");
        }
        assert_eq!(parse(INDEX)[0].size, 5);
    }
}
