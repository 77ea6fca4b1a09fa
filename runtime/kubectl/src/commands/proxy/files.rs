//! Files of a directory as Go's file server serves them: lists of folders, `index.html`, and types guessed as there.
// upstream: go/src/net/http/{fs,server,sniff}.go

use std::path::{Component, Path};

use http::{HeaderValue, Response, StatusCode, header};
use kube::client::Body;

use super::{html_escape, plain, redirect};

/// The types Go's table knows by itself.
const TYPES: [(&str, &str); 18] = [
    ("avif", "image/avif"),
    ("css", "text/css; charset=utf-8"),
    ("gif", "image/gif"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webp", "image/webp"),
    ("xml", "text/xml; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
];

/// The file at `path` below `directory`, a folder's list, or where to look instead; nothing outside the directory.
pub(super) fn serve(directory: &Path, path: &str) -> Response<Body> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    if !Path::new(&decoded).components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir)) {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if decoded == "index.html" || decoded.ends_with("/index.html") {
        return moved("./");
    }
    let target = directory.join(&decoded);
    let last = decoded.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let slash = decoded.is_empty() || decoded.ends_with('/');
    match std::fs::metadata(&target) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => plain(StatusCode::FORBIDDEN, "403 Forbidden\n"),
        // A file that is asked for as a folder.
        Err(_) if slash && directory.join(decoded.trim_end_matches('/')).is_file() => moved(&format!("../{last}")),
        Err(_) => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
        Ok(found) if found.is_dir() && !slash => moved(&format!("{last}/")),
        Ok(found) if found.is_dir() => match std::fs::read(target.join("index.html")) {
            Ok(bytes) => content("html", bytes),
            Err(_) => list(&target),
        },
        Ok(_) => match std::fs::read(&target) {
            Ok(bytes) => content(target.extension().and_then(|extension| extension.to_str()).unwrap_or_default(), bytes),
            Err(_) => plain(StatusCode::FORBIDDEN, "403 Forbidden\n"),
        },
    }
}

/// A redirection that says nothing else.
fn moved(to: &str) -> Response<Body> {
    redirect(to, None)
}

fn content(extension: &str, bytes: Vec<u8>) -> Response<Body> {
    let known = TYPES.iter().find(|(name, _)| *name == extension.to_ascii_lowercase()).map(|(_, kind)| *kind);
    let kind = known.unwrap_or_else(|| sniffed(&bytes));
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The type of a file whose name says nothing.
fn sniffed(bytes: &[u8]) -> &'static str {
    let start = &bytes[..bytes.len().min(512)];
    let first = start.trim_ascii_start().to_ascii_lowercase();
    if [&b"<!doctype html"[..], b"<html", b"<head", b"<body", b"<script", b"<b", b"<p", b"<h1", b"<div", b"<table", b"<a", b"<!--"].iter().any(|tag| {
        first.strip_prefix(*tag).and_then(<[u8]>::first).is_some_and(|next| matches!(next, b' ' | b'>'))
    }) {
        return "text/html; charset=utf-8";
    }
    if first.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    for (magic, kind) in [(&b"%PDF-"[..], "application/pdf"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF8", "image/gif"), (b"\xff\xd8\xff", "image/jpeg"), (b"\x1f\x8b\x08", "application/x-gzip"), (b"PK\x03\x04", "application/zip")] {
        if start.starts_with(magic) {
            return kind;
        }
    }
    let binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if start.iter().any(binary) { "application/octet-stream" } else { "text/plain; charset=utf-8" }
}

fn list(folder: &Path) -> Response<Body> {
    let Ok(entries) = std::fs::read_dir(folder) else { return plain(StatusCode::INTERNAL_SERVER_ERROR, "Error reading directory\n") };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned() + if entry.path().is_dir() { "/" } else { "" })
        .collect();
    names.sort_by(|one, other| one.trim_end_matches('/').cmp(other.trim_end_matches('/')));
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'$').remove(b'&').remove(b'+').remove(b',').remove(b':').remove(b'=').remove(b'@');
    let links = names.iter().map(|name| {
        let address = percent_encoding::utf8_percent_encode(name, KEPT).to_string();
        let address = if address.split('/').next().is_some_and(|first| first.contains(':')) { format!("./{address}") } else { address };
        format!("<a href=\"{address}\">{}</a>\n", html_escape(name))
    });
    let page = format!("<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n{}</pre>\n", links.collect::<String>());
    let mut response = Response::new(Body::from(page.into_bytes()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_served_and_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sub")).unwrap();
        for (name, text) in [("a.txt", "a"), ("sub/index.html", "<p>"), ("bin", "\0"), ("bare", "text"), ("page", "<html>")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let cases = [
            ("a.txt", 200, "text/plain; charset=utf-8"),
            ("bin", 200, "application/octet-stream"),
            ("bare", 200, "text/plain; charset=utf-8"),
            ("page", 200, "text/html; charset=utf-8"),
            ("sub/", 200, "text/html; charset=utf-8"),
            ("", 200, "text/html; charset=utf-8"),
            ("sub", 301, "sub/"),
            ("sub/index.html", 301, "./"),
            ("a.txt/", 301, "../a.txt"),
            ("nope", 404, "text/plain; charset=utf-8"),
            ("../etc/passwd", 404, "text/plain; charset=utf-8"),
            ("%2e%2e/etc/passwd", 404, "text/plain; charset=utf-8"),
        ];
        for (path, status, said) in cases {
            let response = serve(folder.path(), path);
            let header = if status == 301 { header::LOCATION } else { header::CONTENT_TYPE };
            assert_eq!((response.status().as_u16(), response.headers()[header].to_str().unwrap()), (status, said), "{path}");
        }
    }
}
