//! curl and wget.

use std::{
    fs::File,
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    applets::Arguments,
    clock,
    complain,
    http::{self, Failure, Reach, Response, Url},
    sys,
};

/// A request to be sent.
struct Request {
    method: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    fn bytes(&self, url: &Url) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, url.path);
        let given = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !given("host") {
            text.push_str(&format!("Host: {}\r\n", url.authority()));
        }
        if let Some(user) = url.user.as_ref().filter(|_| !given("authorization")) {
            text.push_str(&format!("Authorization: Basic {}\r\n", STANDARD.encode(user)));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("Connection: close\r\n\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

const CURL_LONG: &[(&str, char)] = &[
    ("silent", 's'), ("show-error", 'S'), ("output", 'o'), ("remote-name", 'O'), ("location", 'L'), ("head", 'I'),
    ("include", 'i'), ("verbose", 'v'), ("insecure", 'k'), ("request", 'X'), ("data", 'd'), ("header", 'H'),
    ("write-out", 'w'), ("max-time", 'm'), ("fail", 'f'), ("user-agent", 'A'), ("user", 'u'), ("get", 'G'),
    ("cacert", 'E'), ("connect-timeout", 'c'), ("data-raw", 'd'), ("data-binary", 'd'), ("no-progress-meter", 's'),
    ("resolve", 'r'), ("retry", 'y'), ("compressed", 'z'), ("http1.1", 'z'), ("progress-bar", 'z'), ("dump-header", 'D'),
];

/// `curl [OPTION]... URL...`
pub(crate) fn curl(words: &[String]) -> i32 {
    let letters = "sSo:OLIivkX:d:H:w:m:fA:u:GE:c:r:y:zNq#D:";
    let Some(arguments) = Arguments::parse(words, letters, CURL_LONG) else { return 2 };
    if arguments.operands.is_empty() {
        complain("curl", "no URL specified!");
        return 2;
    }
    let mut status = 0;
    for text in &arguments.operands {
        status = curl_one(&arguments, text);
    }
    status
}

fn curl_error(arguments: &Arguments, code: i32, message: &str) -> i32 {
    if !arguments.has('s') || arguments.has('S') {
        eprintln!("curl: ({code}) {message}");
    }
    code
}

fn curl_request(arguments: &Arguments, url: &mut Url) -> io::Result<Request> {
    let mut body: Option<Vec<u8>> = None;
    for value in arguments.values('d') {
        let part = match value.strip_prefix('@') {
            Some("-") => {
                let mut bytes = Vec::new();
                io::stdin().read_to_end(&mut bytes)?;
                bytes
            }
            Some(path) => std::fs::read(path)?,
            None => value.as_bytes().to_vec(),
        };
        match &mut body {
            Some(body) => {
                body.push(b'&');
                body.extend(part);
            }
            None => body = Some(part),
        }
    }
    if arguments.has('G') && let Some(query) = body.take() {
        let joiner = if url.path.contains('?') { '&' } else { '?' };
        url.path = format!("{}{joiner}{}", url.path, String::from_utf8_lossy(&query));
    }
    if let Some(user) = arguments.value('u') {
        url.user = Some(user.to_owned());
    }
    let usual = if arguments.has('I') { "HEAD" } else if body.is_some() { "POST" } else { "GET" };
    let mut headers = Vec::new();
    let mut dropped = Vec::new();
    for header in arguments.values('H') {
        match header.split_once(':') {
            Some((name, "")) => dropped.push(name.to_ascii_lowercase()),
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => {}
        }
    }
    let agent = arguments.value('A').unwrap_or("curl/8.5.0").to_owned();
    let mut add = |name: &str, value: String| {
        let given = headers.iter().any(|(known, _): &(String, String)| known.eq_ignore_ascii_case(name));
        if !given && !dropped.contains(&name.to_ascii_lowercase()) {
            headers.push((name.to_owned(), value));
        }
    };
    add("User-Agent", agent);
    add("Accept", "*/*".to_owned());
    if body.is_some() {
        add("Content-Type", "application/x-www-form-urlencoded".to_owned());
    }
    Ok(Request { method: arguments.value('X').unwrap_or(usual).to_owned(), headers, body })
}

fn curl_one(arguments: &Arguments, text: &str) -> i32 {
    let start = Instant::now();
    let Some(mut url) = Url::parse(text) else {
        return curl_error(arguments, 3, "URL rejected: Malformed input to a URL function");
    };
    let mut request = match curl_request(arguments, &mut url) {
        Ok(request) => request,
        Err(error) => return curl_error(arguments, 26, &format!("failed to read data: {}", sys::reason(&error))),
    };
    let reach = Reach {
        insecure: arguments.has('k'),
        ca_file: arguments.value('E').map(str::to_owned),
        limit: arguments.value('m').and_then(clock::duration),
        connect_limit: arguments.value('c').and_then(clock::duration),
        pinned: arguments
            .values('r')
            .iter()
            .filter_map(|entry| {
                let mut parts = entry.splitn(3, ':');
                Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?, parts.next()?.to_owned()))
            })
            .collect(),
    };
    let mut redirects = 0;
    let response = loop {
        let outcome = curl_exchange(arguments, &url, &request, &reach);
        let response = match outcome {
            Ok(response) => response,
            Err(failure) => return curl_failed(arguments, &url, &failure, &reach, start),
        };
        let target = response.header("location").filter(|_| arguments.has('L') && (300..400).contains(&response.status)).map(str::to_owned);
        let Some(next) = target.and_then(|location| url.join(&location)) else { break response };
        redirects += 1;
        if redirects > 30 {
            return curl_error(arguments, 47, "Maximum (30) redirects followed");
        }
        if arguments.has('i') || arguments.has('I') {
            print_head(&response);
        }
        if response.status == 303 || (response.status < 303 && request.method == "POST" && !arguments.has('X')) {
            request.method = "GET".to_owned();
            request.body = None;
        }
        url = next;
    };
    if let Some(path) = arguments.value('D') {
        let head: String = std::iter::once(response.line.clone())
            .chain(response.headers.iter().map(|(name, value)| format!("{name}: {value}")))
            .map(|line| line + "\r\n")
            .collect();
        let written = if path == "-" { sys::write_all(1, (head + "\r\n").as_bytes()) } else { std::fs::write(path, head + "\r\n") };
        if let Err(error) = written {
            return curl_error(arguments, 23, &format!("{path}: {}", sys::reason(&error)));
        }
    }
    curl_finish(arguments, &url, response, start, redirects)
}

fn curl_exchange(arguments: &Arguments, url: &Url, request: &Request, reach: &Reach) -> Result<Response, Failure> {
    let note = |text: &str| {
        if arguments.has('v') {
            eprintln!("{text}");
        }
    };
    let (stream, peer) = http::connect(url, reach)?;
    note(&format!("*   Trying {peer}..."));
    note(&format!("* Connected to {} ({}) port {}", url.host, peer.ip(), peer.port()));
    let bytes = request.bytes(url);
    let head = String::from_utf8_lossy(&bytes).split("\r\n\r\n").next().unwrap_or("").to_owned();
    for line in head.lines().filter(|line| !line.starts_with("Connection: close")) {
        note(&format!("> {line}"));
    }
    note(">");
    let response = http::exchange(stream, peer, &bytes, request.method == "HEAD")?;
    note(&format!("< {}", response.line));
    for (name, value) in &response.headers {
        note(&format!("< {name}: {value}"));
    }
    note("<");
    Ok(response)
}

fn curl_failed(arguments: &Arguments, url: &Url, failure: &Failure, reach: &Reach, start: Instant) -> i32 {
    let passed = start.elapsed().as_millis();
    let code = match failure {
        Failure::Resolve => curl_error(arguments, 6, &format!("Could not resolve host: {}", url.host)),
        Failure::Connect(..) => {
            curl_error(arguments, 7, &format!("Failed to connect to {} port {} after {passed} ms: Couldn't connect to server", url.host, url.port))
        }
        Failure::Certificate(text) => curl_error(arguments, 60, &format!("SSL certificate problem: {text}")),
        Failure::Timeout => {
            let limit = reach.limit.or(reach.connect_limit).unwrap_or(Duration::from_secs(120)).as_millis();
            curl_error(arguments, 28, &format!("Operation timed out after {} milliseconds with 0 bytes received", limit.max(passed)))
        }
        Failure::Empty => curl_error(arguments, 52, "Empty reply from server"),
        Failure::Io(error) => curl_error(arguments, 56, &format!("Recv failure: {}", sys::reason(error))),
    };
    if let Some(format) = arguments.value('w') {
        print!("{}", write_out(format, None, 0, start, url, 0));
    }
    code
}

fn print_head(response: &Response) {
    print!("{}\r\n", response.line);
    for (name, value) in &response.headers {
        print!("{name}: {value}\r\n");
    }
    print!("\r\n");
}

fn curl_finish(arguments: &Arguments, url: &Url, mut response: Response, start: Instant, redirects: u32) -> i32 {
    if arguments.has('i') || arguments.has('I') {
        print_head(&response);
    }
    drop(io::stdout().flush());
    let failed = arguments.has('f') && response.status >= 400;
    let name = url.path.split('?').next().and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()).unwrap_or("index.html");
    let path = if arguments.has('O') { Some(name) } else { arguments.value('o').filter(|path| *path != "-") };
    let mut size = 0;
    if !failed {
        let copied = match path {
            Some(path) => File::create(path).and_then(|mut file| copy(&mut response.body, &mut file)),
            None => copy_out(&mut response.body),
        };
        match copied {
            Ok(count) => size = count,
            Err(error) => match Failure::from(error) {
                Failure::Timeout => return curl_error(arguments, 28, "Operation timed out"),
                Failure::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return curl_error(arguments, 18, "transfer closed with outstanding read data remaining");
                }
                other => return curl_error(arguments, 23, &format!("Failure writing output to destination: {}", http::describe(&other))),
            },
        }
    }
    if let Some(format) = arguments.value('w') {
        print!("{}", write_out(format, Some(&response), size, start, url, redirects));
    }
    if failed {
        return curl_error(arguments, 22, &format!("The requested URL returned error: {}", response.status));
    }
    0
}

/// Copies to standard output as it comes: a stream is not to wait for its end.
fn copy_out(body: &mut dyn Read) -> io::Result<u64> {
    copy(body, &mut Standard)
}

/// Standard output without a buffer.
struct Standard;

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sys::write_all(1, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn copy(body: &mut dyn Read, output: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                output.write_all(&buffer[..count])?;
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_out(format: &str, response: Option<&Response>, size: u64, start: Instant, url: &Url, redirects: u32) -> String {
    let (bytes, _) = crate::shell::printf::escapes(format);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    let scheme = if url.secure { "https" } else { "http" };
    let values = [
        ("http_code", response.map_or_else(|| "000".to_owned(), |response| format!("{:03}", response.status))),
        ("response_code", response.map_or_else(|| "000".to_owned(), |response| format!("{:03}", response.status))),
        ("time_total", format!("{:.6}", start.elapsed().as_secs_f64())),
        ("size_download", size.to_string()),
        ("num_redirects", redirects.to_string()),
        ("url_effective", format!("{scheme}://{}{}", url.authority(), url.path)),
        ("content_type", response.and_then(|response| response.header("content-type")).unwrap_or("").to_owned()),
        ("remote_ip", response.map_or_else(String::new, |response| response.peer.ip().to_string())),
    ];
    for (name, value) in values {
        text = text.replace(&format!("%{{{name}}}"), &value);
    }
    text.replace("%%", "%")
}

const WGET_LONG: &[(&str, char)] = &[
    ("output-document", 'O'), ("quiet", 'q'), ("header", 'H'), ("post-data", 'D'), ("timeout", 'T'), ("spider", 'Z'),
    ("no-check-certificate", 'k'), ("user-agent", 'U'), ("server-response", 'S'), ("tries", 't'), ("no-verbose", 'q'),
];

/// `wget [-qS] [-O FILE] [-T SECONDS] [--spider] [--post-data=TEXT] URL`, with BusyBox's words.
pub(crate) fn wget(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "O:qH:D:T:ZkU:St:cP:", WGET_LONG) else { return 1 };
    let Some(text) = arguments.operands.first() else {
        complain("wget", "missing URL");
        return 1;
    };
    let Some(mut url) = Url::parse(text) else {
        complain("wget", format!("not an http or https url: {text}"));
        return 1;
    };
    let quiet = arguments.has('q');
    let body = arguments.value('D').map(|text| text.as_bytes().to_vec());
    let mut headers = vec![("User-Agent".to_owned(), arguments.value('U').unwrap_or("Wget").to_owned())];
    headers.extend(arguments.values('H').iter().filter_map(|header| {
        let (name, value) = header.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    }));
    let method = if body.is_some() { "POST" } else if arguments.has('Z') { "HEAD" } else { "GET" };
    let request = Request { method: method.to_owned(), headers, body };
    let reach = Reach {
        insecure: arguments.has('k'),
        limit: arguments.value('T').and_then(clock::duration),
        ..Reach::default()
    };
    for _ in 0..10 {
        let outcome = http::connect(&url, &reach).and_then(|(stream, peer)| {
            if !quiet {
                eprintln!("Connecting to {} ({peer})", url.authority());
            }
            http::exchange(stream, peer, &request.bytes(&url), method == "HEAD")
        });
        let response = match outcome {
            Ok(response) => response,
            Err(Failure::Resolve) => {
                complain("wget", format!("bad address '{}'", url.authority()));
                return 1;
            }
            Err(Failure::Connect(address, error)) => {
                complain("wget", format!("can't connect to remote host ({}): {}", address.ip(), sys::reason(&error)));
                return 1;
            }
            Err(Failure::Timeout) => {
                complain("wget", "download timed out");
                return 1;
            }
            Err(failure) => {
                complain("wget", http::describe(&failure));
                return 1;
            }
        };
        if arguments.has('S') {
            eprintln!("  {}", response.line);
            for (name, value) in &response.headers {
                eprintln!("  {name}: {value}");
            }
        }
        if (300..400).contains(&response.status) && let Some(next) = response.header("location").and_then(|location| url.join(location)) {
            url = next;
            continue;
        }
        if response.status >= 400 {
            complain("wget", format!("server returned error: {}", response.line));
            return 1;
        }
        if arguments.has('Z') {
            if !quiet {
                eprintln!("remote file exists");
            }
            return 0;
        }
        return wget_save(&arguments, &url, response);
    }
    complain("wget", "too many redirections");
    1
}

fn wget_save(arguments: &Arguments, url: &Url, mut response: Response) -> i32 {
    let usual = url.path.split('?').next().and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()).unwrap_or("index.html");
    let name = arguments.value('O').unwrap_or(usual);
    let quiet = arguments.has('q');
    let expected: Option<u64> = response.header("content-length").and_then(|text| text.parse().ok());
    if !quiet && name == "-" {
        eprintln!("writing to stdout");
    } else if !quiet {
        eprintln!("saving to '{name}'");
    }
    let copied = if name == "-" {
        copy_out(&mut response.body)
    } else {
        File::create(name).and_then(|mut file| copy(&mut response.body, &mut file))
    };
    let shown = if name == "-" { "-" } else { name };
    match copied {
        Ok(count) if expected.is_some_and(|expected| count < expected) => {
            complain("wget", "connection closed prematurely");
            1
        }
        Ok(count) => {
            if !quiet {
                // As wide as the terminal; 80 columns where there is none.
                let width = if sys::is_terminal(2) { sys::window_size(2).0 } else { 80 };
                eprintln!("{shown:<20} 100% |{}| {count:>5}  0:00:00 ETA", "*".repeat(width.saturating_sub(48).clamp(1, 200)));
                if name == "-" { eprintln!("written to stdout") } else { eprintln!("'{name}' saved") }
            }
            0
        }
        Err(error) => {
            complain("wget", format!("can't write '{name}': {}", http::describe(&Failure::from(error))));
            1
        }
    }
}
