//! nginx's stand-in as the storage chapters use it: a caching proxy in front of a slow site, and plain files.

mod server;

use std::{
    fs,
    io::{Read as _, Write as _},
};

use server::{Server, free_port};

/// The proxy's configuration of the book, with room for this test's ports and paths.
fn proxy_configuration(port: u16, upstream: u16, cache: &str) -> String {
    format!(
        r#"worker_processes 1;
error_log /var/log/nginx/error.log warn;
pid {cache}.pid;
events {{ worker_connections 1024; }}
http {{
  proxy_cache_path {cache} levels=1:2 keys_zone=STATIC:10m inactive=24h max_size=1g;
  gzip on;
  gzip_proxied any;
  map $sent_http_content_type $expires {{
    default off;
    ~image/ 6M;
  }}
  server {{
    listen {port} default_server;
    listen [::]:{port} default_server;
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_set_header Host $host;
      proxy_cache STATIC;
      proxy_cache_valid 200 1d;
      proxy_cache_use_stale error timeout invalid_header updating http_500 http_502 http_503 http_504;
      add_header X-Cache $upstream_cache_status;
      add_header X-Host $hostname;
    }}
  }}
}}
"#
    )
}

fn nginx(file: &str, text: &str, directory: &std::path::Path, port: u16) -> Server {
    let path = directory.join(file);
    fs::write(&path, text).unwrap();
    Server::start(&["nginx", "-c", path.to_str().unwrap(), "-g", "daemon off;"], directory, port, &[])
}

#[test]
fn a_cache_is_filled_once_and_shared() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("Pi.Web.dll"), "drydock-application pi\n").unwrap();
    let upstream = Server::start(&["dotnet", "Pi.Web.dll", "-m", "web"], directory.path(), free_port(), &[]);
    let cache = directory.path().join("cache");
    let cache = cache.to_str().unwrap();
    let (first, second) = (free_port(), free_port());
    let mut one = nginx("one.conf", &proxy_configuration(first, upstream.port, cache), directory.path(), first);
    let two = nginx("two.conf", &proxy_configuration(second, upstream.port, cache), directory.path(), second);
    let state = |server: &Server, target: &str| {
        let (status, text) = server.get(target);
        let line = text.lines().find_map(|line| line.strip_prefix("X-Cache: ")).unwrap_or("").to_owned();
        assert!(text.contains("X-Host: "), "{text}");
        (status, line)
    };
    assert_eq!(state(&one, "/?dp=40"), (200, "MISS".to_owned()));
    assert_eq!(state(&one, "/?dp=40"), (200, "HIT".to_owned()));
    assert_eq!(state(&two, "/?dp=40"), (200, "HIT".to_owned()));
    assert_eq!(state(&two, "/?dp=41"), (200, "MISS".to_owned()));
    let line = one.log(1);
    assert!(line.starts_with("127.0.0.1 - - [") && line.contains("] \"GET /?dp=40 HTTP/1.1\" 200 ") && line.ends_with(" \"-\" \"-\"\n"), "{line}");
    // One hex digit, then two, then the sum of the key.
    let below = |path: &std::path::Path| fs::read_dir(path).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let top = below(std::path::Path::new(cache));
    assert!(!top.is_empty() && top.iter().all(|path| path.file_name().unwrap().len() == 1), "{top:?}");
    // What is not cached has no state; what is gone upstream is still served from the cache.
    assert!(!one.ask("POST", "/?dp=1", "").1.contains("X-Cache"));
    upstream.end();
    assert_eq!(state(&one, "/?dp=41"), (200, "HIT".to_owned()));
    assert_eq!(one.get("/?dp=99").0, 502);
    two.end();
}

#[test]
fn configurations_are_refused_in_nginxs_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nginx.conf");
    let missing = directory.path().join("no/cache");
    let http = |inner: &str| format!("events {{}}\nhttp {{\n{inner}\n}}\n");
    let cases = [
        (http("server { location / { proxy_pass http://no-such-host.invalid; } }"), "host not found in upstream \"no-such-host.invalid\" in PATH:3".to_owned()),
        (http(&format!("proxy_cache_path {} levels=1:2 keys_zone=A:1m;", missing.display())), format!("mkdir() \"{}\" failed (2: No such file or directory)", missing.display())),
        (http("servr { }"), "unknown directive \"servr\" in PATH:3".to_owned()),
        (http("listen 80;"), "unknown directive \"listen\" in PATH:3".to_owned()),
        ("http { }".to_owned(), "no \"events\" section in configuration".to_owned()),
        (http("server { listen 80 }"), "unexpected \"}\" in PATH:3".to_owned()),
        (http("server { gzip maybe; }"), "invalid value \"maybe\" in \"gzip\" directive, it must be \"on\" or \"off\" in PATH:3".to_owned()),
        (http("server { location / { proxy_cache X; } }"), "\"proxy_cache\" zone \"X\" is unknown".to_owned()),
        (http("server { listen 443 ssl; }"), "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive in PATH:3".to_owned()),
        ("user nobody-of-this-name;".to_owned(), "getpwnam(\"nobody-of-this-name\") failed in PATH:1".to_owned()),
    ];
    for (text, wanted) in cases {
        fs::write(&path, &text).unwrap();
        let output = server::run(&["nginx", "-t", "-c", path.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap().replace(path.to_str().unwrap(), "PATH");
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(said.starts_with(&format!("nginx: [emerg] {wanted}\n")) && said.ends_with("PATH test failed\n"), "{text}: {said}");
    }
    fs::write(&path, http("server { listen 8080; }")).unwrap();
    assert!(server::run(&["nginx", "-t", "-c", path.to_str().unwrap()]).status.success());
}

#[test]
fn a_port_is_spoken_to_by_tls() {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    for (name, text) in [("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem()), ("index.html", "front".to_owned())] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let (plain, secure, beside) = (free_port(), free_port(), free_port());
    let text = format!(
        r#"pid {0}/pid; events {{}}
http {{
  access_log off;
  ssl_certificate {0}/cert.pem;
  ssl_certificate_key {0}/key.pem;
  server {{
    listen {beside};
    listen {secure} ssl;
    root {0};
    location /how {{ return 200 "$scheme at $server_port\n"; }}
  }}
  server {{ listen {plain}; root {0}; location /how {{ return 200 "$scheme\n"; }} }}
}}
"#,
        directory.path().display()
    );
    let nginx = nginx("tls.conf", &text, directory.path(), plain);
    assert!(nginx.get("/how").1.ends_with("\r\n\r\nhttp\n"));
    let authority = directory.path().join("cert.pem");
    for (words, code, wanted) in [
        (vec!["--cacert", authority.to_str().unwrap(), &format!("https://localhost:{secure}/how")], 0, format!("https at {secure}\n")),
        (vec![&format!("http://localhost:{beside}/how")], 0, format!("http at {beside}\n")),
        (vec!["-k", &format!("https://localhost:{secure}/"), &format!("https://localhost:{secure}/")], 0, "frontfront".to_owned()),
        (vec!["--cacert", authority.to_str().unwrap(), &format!("https://127.0.0.1:{secure}/how")], 60, String::new()),
    ] {
        let output = server::run(&[&["curl", "-s"], words.as_slice()].concat());
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()), (Some(code), wanted), "{words:?}");
    }
    // Who speaks TLS at a plain port is told at once.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", plain)).unwrap();
    stream.write_all(&[22, 3, 1, 0, 200, 1]).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
}

#[test]
fn files_locations_and_answers() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("html");
    fs::create_dir_all(root.join("sub")).unwrap();
    for (name, text) in [("index.html", "front"), ("a.css", "style"), ("app.html", "the app"), ("gone.html", "sorry")] {
        fs::write(root.join(name), text).unwrap();
    }
    let port = free_port();
    let text = format!(
        r#"pid {0}/pid; events {{}}
http {{
  types {{ text/html html; text/css css; }}
  log_format short '$request_method $uri $status';
  access_log /dev/stdout short;
  server {{
    listen {port};
    root {0}/html;
    add_header X-All yes;
    error_page 404 /gone.html;
    location = /exact {{ return 200 "just $uri for $arg_who\n"; }}
    location /old/ {{ return 301 /new/; }}
    location /app/ {{ try_files $uri $uri/ /app.html; }}
    location ~* \.css$ {{ add_header X-Style yes; expires 1h; }}
    location /down {{ return 503; }}
    location /private/ {{ alias {0}/html/; auth_basic "the lab"; auth_basic_user_file {0}/users; }}
  }}
  server {{ listen {port}; server_name other.example; location / {{ return 204; }} }}
}}
"#,
        directory.path().display()
    );
    let mut web = nginx("nginx.conf", &text, directory.path(), port);
    let cases = [
        ("/", 200, "front"),
        ("/exact?who=me", 200, "just /exact for me\n"),
        ("/old/x", 301, "Location: http://test/new/"),
        ("/app/anything", 200, "the app"),
        ("/a.css", 200, "X-Style: yes"),
        ("/a.css", 200, "Cache-Control: max-age=3600"),
        ("/a.css", 200, "Content-Type: text/css"),
        ("/sub", 301, "Location: http://test/sub/"),
        ("/sub/", 403, "403 Forbidden"),
        ("/nothing", 404, "sorry"),
        ("/down", 503, "503 Service Temporarily Unavailable"),
        ("/private/a.html", 401, "WWW-Authenticate: Basic realm=\"the lab\""),
        ("/", 200, "X-All: yes"),
    ];
    for (target, status, part) in cases {
        let (got, text) = web.get(target);
        assert!(got == status && text.contains(part), "{target}: {got} {text}");
    }
    assert_eq!(web.log(3), "GET / 200\nGET /exact 200\nGET /old/x 301\n");
    let private = |user: &str| {
        let request = format!("GET /private/a.html HTTP/1.1\r\nHost: test\r\nAuthorization: Basic {user}\r\nConnection: close\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    fs::write(directory.path().join("users"), "me:{PLAIN}right\n").unwrap();
    fs::write(root.join("a.html"), "for me").unwrap();
    // me:right, me:wrong, you:right
    for (user, part) in [("bWU6cmlnaHQ=", "for me"), ("bWU6d3Jvbmc=", "401 Unauthorized"), ("eW91OnJpZ2h0", "401 Unauthorized"), ("?", "401 Unauthorized")] {
        assert!(private(user).contains(part), "{user}");
    }
    // A new configuration is taken by SIGHUP, a wrong one is not.
    fs::write(directory.path().join("nginx.conf"), text.replace("just", "now")).unwrap();
    let path = directory.path().join("nginx.conf");
    assert!(server::run(&["nginx", "-c", path.to_str().unwrap(), "-s", "reload"]).status.success());
    while !web.get("/exact").1.contains("now /exact") {
        std::thread::yield_now();
    }
    web.end();
}
