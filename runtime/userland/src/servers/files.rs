//! Static files: `hello-kiamol` in nginx's place, and `httpd`.
//!
//! Each request is logged in nginx's *combined* form with the forwarded-for field behind it.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use super::{Body, Handler, Reply, Request, Service, error_reply, http_date, now, usual_port};
use crate::{applets::Arguments, clock, complain, sys};

/// Files up to this size are answered from memory.
const IN_MEMORY: u64 = 1 << 20;

/// `hello-kiamol [-p PORT] [-h ROOT]`: nginx's stand-in.
pub(crate) fn hello_kiamol(words: &[String]) -> i32 {
    serve_files("hello-kiamol", words, "/usr/share/nginx/html", false)
}

/// `httpd [-f] [-p PORT] [-h ROOT]`: in the background, as BusyBox's is, unless `-f` keeps it in the foreground.
pub(crate) fn httpd(words: &[String]) -> i32 {
    serve_files("httpd", words, ".", true)
}

fn serve_files(applet: &'static str, words: &[String], usual: &str, leaves: bool) -> i32 {
    let Some(arguments) = Arguments::parse(words, "fvp:h:", &[("port", 'p')]) else { return 1 };
    let root = PathBuf::from(arguments.value('h').unwrap_or(usual));
    let port = arguments.value('p').map_or_else(usual_port, str::to_owned);
    let Some(port) = port.rsplit(':').next().and_then(|port| port.parse().ok()) else {
        complain(applet, "invalid port");
        return 1;
    };
    let handler: Arc<Handler> = Arc::new(move |request| log_access(request, file_reply(&root, &request.path(), request)));
    match Service::new(applet, "drydock-userland", port, handler).open() {
        Ok(open) => {
            if leaves && !arguments.has('f') {
                // The ports are open by now, so whoever waited for the command finds them answering.
                match sys::into_background() {
                    Ok(true) => {}
                    Ok(false) => return 0,
                    Err(error) => {
                        complain(applet, format!("can't go to the background: {}", error.desc()));
                        return 1;
                    }
                }
            }
            open.serve()
        }
        Err(status) => status,
    }
}

/// The file below `root` that `path` names, or why not.
pub(super) fn file_reply(root: &Path, path: &str, request: &Request) -> Reply {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return error_reply("405 Not Allowed");
    }
    if path.split('/').any(|part| part == "..") {
        return error_reply("400 Bad Request");
    }
    let mut file = root.join(path.trim_start_matches('/'));
    if file.is_dir() {
        if !path.ends_with('/') {
            return error_reply("301 Moved Permanently").with("Location", format!("{path}/"));
        }
        file.push("index.html");
        if !file.exists() {
            return error_reply("403 Forbidden");
        }
    }
    one_file(&file, request)
}

/// A file's content with its type, time and tag.
pub(super) fn one_file(file: &Path, request: &Request) -> Reply {
    let (body, meta) = match read(file) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return error_reply("403 Forbidden"),
        Err(_) => return error_reply("404 Not Found"),
    };
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |passed| passed.as_secs());
    let tag = format!("\"{modified:x}-{:x}\"", body.len());
    let known = request.header("if-none-match") == Some(tag.as_str());
    let mut reply = Reply::new(if known { "304 Not Modified" } else { "200 OK" }, kind_of(file), Vec::new());
    if !known {
        reply.body = body;
    }
    reply
        .with("Last-Modified", http_date(i64::try_from(modified).unwrap_or(0)))
        .with("ETag", tag)
        .with("Cache-Control", "no-cache")
}

/// A file's content, or the open file when it is large.
fn read(path: &Path) -> io::Result<(Body, fs::Metadata)> {
    let mut file = fs::File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.len() > IN_MEMORY {
        return Ok((Body::File(Arc::new(file), meta.len()), meta));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((Body::Bytes(bytes), meta))
}

fn kind_of(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "htm") => "text/html",
        Some("css") => "text/css",
        Some("js") => "application/javascript",
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("ico") => "image/x-icon",
        _ => "application/octet-stream",
    }
}

fn log_access(request: &Request, reply: Reply) -> Reply {
    let mut line = combined(request, &reply);
    line.push_str(&format!(" \"{}\"\n", clean(request.header("x-forwarded-for").unwrap_or("-"))));
    // Nobody reads the log: nothing to be done about it here.
    drop(sys::write_all(1, line.as_bytes()));
    reply
}

/// A line of a log in the *combined* form, without its end.
pub(super) fn combined(request: &Request, reply: &Reply) -> String {
    let sent = if request.method == "HEAD" { 0 } else { reply.body.len() };
    format!(
        "{} - - [{}] \"{}\" {} {sent} \"{}\" \"{}\"",
        request.client(),
        clock::format_time("%d/%b/%Y:%H:%M:%S %z", now()),
        clean(&request.line),
        reply.code(),
        clean(request.header("referer").unwrap_or("-")),
        clean(request.header("user-agent").unwrap_or("-")),
    )
}

fn clean(text: &str) -> String {
    text.replace('"', "\\x22").replace(char::is_control, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::tests::request;

    #[test]
    fn files_are_served_and_the_rest_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("index.html"), "hi").unwrap();
        fs::create_dir(root.path().join("empty")).unwrap();
        fs::File::create(root.path().join("large")).unwrap().set_len(IN_MEMORY + 1).unwrap();
        let large = one_file(&root.path().join("large"), &request("GET", "/large", ""));
        assert!(large.body.bytes().is_none() && large.body.len() == IN_MEMORY + 1, "a large file is not read into memory");
        let cases = [
            ("GET", "/", "200 OK"),
            ("GET", "/index.html?x=y", "200 OK"),
            ("HEAD", "/%69ndex.html", "200 OK"),
            ("GET", "/nothing", "404 Not Found"),
            ("GET", "/empty", "301 Moved Permanently"),
            ("GET", "/empty/", "403 Forbidden"),
            ("GET", "/../etc/passwd", "400 Bad Request"),
            ("POST", "/", "405 Not Allowed"),
            ("GET", "/large", "200 OK"),
        ];
        for (method, target, wanted) in cases {
            let asked = request(method, target, "");
            assert_eq!(file_reply(root.path(), &asked.path(), &asked).status, wanted, "{method} {target}");
        }
    }
}
