//! The built front end, inside the binary.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/front-end/dist"]
struct Assets;

/// One file of the front end.
pub(crate) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    if let Some(bytes) = fresh(&path) {
        return ([(header::CONTENT_TYPE, kind(&path)), (header::CACHE_CONTROL, "no-store")], bytes).into_response();
    }
    let packed = accepts_brotli(&headers).then(|| Assets::get(&format!("{path}.br"))).flatten();
    let encoding = packed.is_some().then_some((header::CONTENT_ENCODING, "br"));
    let Some(file) = packed.or_else(|| Assets::get(&path)) else {
        return (StatusCode::NOT_FOUND, "no such file").into_response();
    };
    let tag = tag(&file.metadata.sha256_hash());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    // Bundled pieces have a hash in their name; the entry points do not.
    let cache = if path.starts_with("c-") { "max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, kind(&path)),
        (header::VARY, "accept-encoding"),
        (header::CACHE_CONTROL, cache),
        (header::ETAG, &tag),
    ];
    (headers, AppendHeaders(encoding), file.data.into_owned()).into_response()
}

/// Browsers name it without a weight.
fn accepts_brotli(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|one| one.trim() == "br")
}

/// While the front end is worked on: the file of the directory `DRYDOCK_ASSETS`, in builds with debug assertions only.
fn fresh(path: &str) -> Option<Vec<u8>> {
    if !cfg!(debug_assertions) || path.contains("..") {
        return None;
    }
    let directory = std::env::var_os("DRYDOCK_ASSETS")?;
    std::fs::read(std::path::Path::new(&directory).join(path)).ok()
}

fn tag(hash: &[u8; 32]) -> String {
    let hex: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        _ => "application/octet-stream",
    }
}
