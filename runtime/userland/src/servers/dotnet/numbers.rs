//! The random-number application of the networking chapters: an API, and a web site that asks it.

use std::{
    fs::File,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Host, log::Level};
use crate::{
    http::{self, Reach, Url},
    servers::{Handler, Reply, Request, error_reply, escaped},
};

/// How long the web site waits for its API.
const PATIENCE: Duration = Duration::from_secs(2);

/// `Numbers.Api.dll`
pub(super) fn api() -> i32 {
    let host = match Host::start(&["appsettings.json"]) {
        Ok(host) => host,
        Err(status) => return status,
    };
    let (calls, healthy) = (AtomicU64::new(0), AtomicBool::new(true));
    let shared = Arc::clone(&host);
    let handler: Arc<Handler> = Arc::new(move |request| api_reply(&shared, request, &calls, &healthy));
    host.serve(handler)
}

fn api_reply(host: &Host, request: &Request, calls: &AtomicU64, healthy: &AtomicBool) -> Reply {
    let plain = |text: &str| Reply::new("200 OK", "text/plain; charset=utf-8", text.to_owned());
    let path = request.path().to_ascii_lowercase();
    let known = ["/rng", "/sixeyed/kiamol/master/ch03/numbers/rng", "/health", "/healthz", "/reset"];
    if known.contains(&path.as_str()) && request.method != "GET" {
        return Reply::new("405 Method Not Allowed", "text/plain", Vec::new()).with("Allow", "GET");
    }
    match path.as_str() {
        "/rng" | "/sixeyed/kiamol/master/ch03/numbers/rng" => number(host, calls, healthy),
        "/health" | "/healthz" if healthy.load(Ordering::SeqCst) => plain("Ok"),
        "/health" | "/healthz" => failure("Unhealthy"),
        "/reset" => {
            healthy.store(true, Ordering::SeqCst);
            plain("Ok")
        }
        _ => Reply::new("404 Not Found", "text/plain", Vec::new()),
    }
}

fn failure(message: &str) -> Reply {
    let body = serde_json::json!({"message": message}).to_string();
    Reply::new("500 Internal Server Error", "application/json; charset=utf-8", body)
}

fn number(host: &Host, calls: &AtomicU64, healthy: &AtomicBool) -> Reply {
    const CATEGORY: &str = "Numbers.Api.Controllers.RngController";
    let settings = host.settings();
    let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
    if !healthy.load(Ordering::SeqCst) {
        let message = if settings.is_on("UseFailureId") { format!("Unhealthy! Failure ID: {}", uuid()) } else { "Unhealthy!".to_owned() };
        host.log(Level::Warning, CATEGORY, &message);
        return failure(&message);
    }
    let number = u32::from_le_bytes(random()) % 100;
    host.log(Level::Debug, CATEGORY, &format!("Returning random number: {number}"));
    let limit = settings.number("FailAfterCallCount");
    if limit > 0 && call >= limit {
        healthy.store(false, Ordering::SeqCst);
    }
    Reply::new("200 OK", "application/json; charset=utf-8", number.to_string())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Always there in a container; zeros are numbers too.
    drop(File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)));
    bytes
}

fn uuid() -> String {
    let bytes: [u8; 16] = random();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// `Numbers.Web.dll`
pub(super) fn web() -> i32 {
    let host = match Host::start(&["appsettings.json"]) {
        Ok(host) => host,
        Err(status) => return status,
    };
    // An image of version 2 has another file here.
    let style = std::fs::read_to_string("wwwroot/css/site.css").unwrap_or_default();
    let shared = Arc::clone(&host);
    let handler: Arc<Handler> = Arc::new(move |request| match (request.method.as_str(), request.path().as_str()) {
        ("GET" | "HEAD", "/") => page(&style, "    <form method=\"post\">\n      <p>Get a random number</p>\n      <input type=\"submit\" value=\"Go!\">\n    </form>\n"),
        ("POST", "/") => page(&style, &answer(&shared)),
        ("GET" | "HEAD", "/css/site.css") => Reply::new("200 OK", "text/css", style.clone()),
        (_, "/") => error_reply("405 Method Not Allowed"),
        _ => Reply::new("404 Not Found", "text/plain", Vec::new()),
    });
    host.serve(handler)
}

fn page(style: &str, content: &str) -> Reply {
    let version = if style.contains("version 2") { "v2" } else { "v1" };
    Reply::page(format!(
        "<!DOCTYPE html>\n<html lang=\"en\" class=\"{version}\">\n  <head>\n    <meta charset=\"utf-8\">\n    <title>KIAMOL - Numbers.Web</title>\n    <link rel=\"stylesheet\" href=\"/css/site.css\">\n  </head>\n  <body>\n    <h1>KIAMOL Random Number Generator</h1>\n{content}  </body>\n</html>\n"
    ))
}

fn answer(host: &Host) -> String {
    let settings = host.settings();
    let url = settings.get("RngApi:Url").unwrap_or_default().to_owned();
    let first = match fetch(&url, None) {
        Err(failure) => failure,
        Ok(number) => {
            return format!("    <p>Here it is: {number}</p>\n    <p>(Using API at: {})</p>\n", escaped(&url));
        }
    };
    let mut outcome = Err(first);
    if let Err(Failed { status: 404, .. }) = &outcome {
        outcome = fetch(&url, settings.get("RngApi:RetryHost"));
    }
    match outcome {
        Ok(number) => format!("    <p>Here it is: {number}</p>\n    <p>(Using API at: {})</p>\n", escaped(&url)),
        Err(failed) => {
            let message = format!("API call failed: Service call failed, status: {}, message: {}", failed.status, failed.message);
            host.log(Level::Error, "Numbers.Web.Pages.IndexModel", &message);
            format!("    <p>RNG service unavailable!</p>\n    <p>(Using API at: {})</p>\n", escaped(&url))
        }
    }
}

/// Why there is no number; status 0 when there was no response.
struct Failed {
    status: u16,
    message: String,
}

fn fetch(url: &str, host: Option<&str>) -> Result<i64, Failed> {
    let failed = |message: String| Failed { status: 0, message };
    let url = Url::parse(url).ok_or_else(|| failed(format!("{url} is no URL")))?;
    let reach = Reach { limit: Some(PATIENCE), connect_limit: Some(PATIENCE), ..Reach::default() };
    let describe = |failure: http::Failure| failed(format!("{} ({}:{})", http::describe(&failure), url.host, url.port));
    let (stream, peer) = http::connect(&url, &reach).map_err(describe)?;
    let name = host.map_or_else(|| url.authority(), str::to_owned);
    let request = format!("GET {} HTTP/1.1\r\nHost: {name}\r\nAccept: */*\r\nUser-Agent: RestSharp/106.6.9.0\r\nConnection: close\r\n\r\n", url.path);
    let response = http::exchange(stream, peer, request.as_bytes(), false).map_err(describe)?;
    let status = response.status;
    let mut text = String::new();
    let read = response.body.take(64 * 1024).read_to_string(&mut text);
    if status != 200 {
        return Err(Failed { status, message: response.line });
    }
    read.ok().and_then(|_| text.trim().parse().ok()).ok_or_else(|| failed("the answer is no number".to_owned()))
}
