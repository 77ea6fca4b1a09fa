//! The demo applications through their binary and HTTP: pages, settings, log lines.
//!
//! Each runs as its image starts it, in a copy of the image's `/app` and on a port of its own.

mod server;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use server::{BINARY, Server, free_port};

/// A copy of what a layer of an image has in `/app`.
fn copy_app(layer: &str, directory: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image/layers").join(layer).join("app");
    let status = Command::new("cp").arg("-r").arg(from).arg(directory).status().unwrap();
    assert!(status.success());
}

struct App {
    directory: tempfile::TempDir,
}

impl App {
    fn new(layers: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for layer in layers {
            copy_app(layer, directory.path());
        }
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("app")
    }

    fn start(&self, words: &[&str], variables: &[(&str, &str)]) -> Server {
        Server::start(words, &self.path(), free_port(), variables)
    }
}

#[test]
fn numbers_come_from_the_api_through_the_site() {
    let app = App::new(&["numbers-api"]);
    let mut api = app.start(&["dotnet", "Numbers.Api.dll"], &[("FailAfterCallCount", "3")]);
    let started = api.log(8);
    assert!(started.starts_with(&format!("info: Microsoft.Hosting.Lifetime[14]\n      Now listening on: http://[::]:{}\n", api.port)), "{started}");
    let (status, body) = api.get("/rng");
    assert!(status == 200 && body.lines().last().unwrap().parse::<u8>().unwrap() < 100, "{body}");
    assert_eq!(api.get("/healthz").1.lines().last(), Some("Ok"));
    assert_eq!(api.get("/nothing").0, 404);

    let site = App::new(&["numbers-web", "numbers-web-v2"]);
    let url = format!("http://127.0.0.1:{}/sixeyed/kiamol/master/ch03/numbers/rng", api.port);
    let web = site.start(&["dotnet", "Numbers.Web.dll"], &[("RngApi__Url", &url)]);
    let (_, page) = web.get("/");
    assert!(page.contains("class=\"v2\"") && page.contains("<title>KIAMOL - Numbers.Web</title>") && page.contains("value=\"Go!\""), "{page}");
    let (_, page) = web.ask("POST", "/", "");
    assert!(page.contains("<p>Here it is: ") && page.contains(&format!("(Using API at: {url})")), "{page}");
    // The third call is the last that works.
    api.get("/rng");
    assert_eq!(api.get("/rng").0, 500);
    assert_eq!(api.log(2), "warn: Numbers.Api.Controllers.RngController[0]\n      Unhealthy!\n");
    assert!(web.ask("POST", "/", "").1.contains("<p>RNG service unavailable!</p>"));
    assert_eq!(api.get("/health").0, 500);
    assert_eq!(api.get("/reset").0, 200);
    assert!(web.ask("POST", "/", "").1.contains("Here it is"));
    let rest = web.end();
    assert!(rest.contains("fail: Numbers.Web.Pages.IndexModel[0]\n      API call failed: Service call failed, status: 500"), "{rest}");
}

#[test]
fn a_404_is_asked_again_under_another_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/rng", listener.local_addr().unwrap().port());
    let other = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap() > 2 {}
            let answer = if head.contains("Host: raw.githubusercontent.com\r\n") { "200 OK\r\nContent-Length: 2\r\n\r\n42" } else { "404 Not Found\r\nContent-Length: 0\r\n\r\n" };
            write!(stream, "HTTP/1.1 {answer}").unwrap();
        }
    });
    let site = App::new(&["numbers-web"]);
    let web = site.start(&["dotnet", "Numbers.Web.dll"], &[("RngApi__Url", &url), ("RngApi__RetryHost", "raw.githubusercontent.com")]);
    assert!(web.ask("POST", "/", "").1.contains("<p>Here it is: 42</p>"));
    other.join().unwrap();
}

/// Puts files where a ConfigMap's volume has them: in a directory of their own behind the link `..data`.
fn publish(volume: &Path, generation: u32, files: &[(&str, &str)]) {
    let data = volume.join(format!("..{generation}"));
    fs::create_dir_all(&data).unwrap();
    for (name, content) in files {
        fs::write(data.join(name), content).unwrap();
        let link = volume.join(name);
        if link.symlink_metadata().is_err() {
            symlink(format!("..data/{name}"), link).unwrap();
        }
    }
    let new = volume.join("..data_tmp");
    symlink(format!("..{generation}"), &new).unwrap();
    fs::rename(new, volume.join("..data")).unwrap();
}

#[test]
fn the_to_do_list_keeps_items_and_watches_its_settings() {
    let app = App::new(&["todo-list"]);
    let file = format!("Filename={}/list.db", app.directory.path().display());
    let variables = [("ConnectionStrings__ToDoDb", file.as_str()), ("ASPNETCORE_ENVIRONMENT", "Test")];
    let mut web = app.start(&["dotnet", "ToDoList.dll"], &[&variables[..], &[("Logging__LogLevel__Default", "Warning")]].concat());
    assert!(web.get("/").1.contains("You have 0 items to do."));
    let (status, head) = web.ask("POST", "/new", "ToDo.Item=buy+%3Cmilk%3E");
    assert!(status == 302 && head.contains("Location: /list\r\n"), "{head}");
    let (_, list) = web.get("/list");
    assert!(list.contains("<td>buy &lt;milk&gt;</td>") && list.contains("[This is TEST]"), "{list}");
    assert_eq!(web.ask("POST", "/new", "ToDo.Item=").0, 200);
    assert!(web.ask("POST", "/new", &format!("ToDo.Item={}", "x".repeat(257))).1.contains("Item is too big"));
    assert_eq!(web.get("/config").0, 404);
    assert_eq!(web.log(2), "warn: ToDoList.Pages.ConfigModel[0]\n      Attempt to view config settings\n");

    // Settings come, and come again, without a restart.
    let volume = app.path().join("config");
    publish(&volume, 1, &[("config.json", r#"{"ConfigController": {"Enabled": true}}"#)]);
    let (status, page) = web.get("/config");
    assert!(status == 200 && page.contains("<tr><td>ConfigController:Enabled</td><td>True</td></tr>"), "{page}");
    publish(&volume, 2, &[("config.json", "{}"), ("logging.json", r#"{"Logging": {"LogLevel": {"ToDoList.Pages": "Debug"}}}"#)]);
    web.get("/");
    assert_eq!(web.log(4), "dbug: ToDoList.Pages.IndexModel[0]\n      GET / called\ndbug: ToDoList.Pages.IndexModel[0]\n      Fetched count: 1 from service\n");
    web.get("/list");
    assert_eq!(web.log(4), "dbug: ToDoList.Pages.ListModel[0]\n      GET /list called\ndbug: ToDoList.Pages.ListModel[0]\n      Fetched 1 items from service\n");
    assert_eq!(web.end(), "");

    // Another process, the same file.
    let again = app.start(&["dotnet", "ToDoList.dll"], &variables);
    assert!(again.get("/").1.contains("You have 1 items to do."));
    drop(again);
    let nowhere = app.start(&["dotnet", "ToDoList.dll"], &[("ConnectionStrings__ToDoDb", "Filename=/nowhere/list.db")]);
    assert_eq!(nowhere.get("/").0, 500);
    assert!(nowhere.end().contains("SQLite Error 14: 'unable to open database file"));
}

#[test]
fn a_launcher_without_its_program_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY).args(["dotnet", "ToDoList.dll"]).current_dir(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(145));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("      The application 'ToDoList.dll' does not exist.\n") && said.ends_with("No .NET SDKs were found.\n"), "{said}");
}

#[test]
fn pi_is_served_printed_and_written() {
    let app = App::new(&["pi"]);
    let run = |words: &[&str]| {
        let output = Command::new(BINARY).args(words).current_dir(app.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&["dotnet", "Pi.Web.dll", "-m", "console", "-dp", "6"]), "3.141592\n");
    let file = app.path().join("pi.txt");
    let path = file.to_str().unwrap();
    assert_eq!(run(&["dotnet", "Pi.Web.dll", "-m", "file", "-dp", "3", "-o", path]), format!("Wrote pi to: 3 dp; at: {path}\n"));
    assert_eq!(fs::read_to_string(file).unwrap(), "3.141");
    let mut web = app.start(&["dotnet", "Pi.Web.dll", "-m", "web"], &[("Logging__LogLevel__Default", "Debug")]);
    assert_eq!(web.log(1), "Running in web mode...\n");
    assert!(web.get("/?dp=12").1.contains("<p class=\"text-break\">3.141592653589</p>"));
}

#[test]
fn php_serves_the_database_page() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("index.php"), "").unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let variables = [("ADMINER_DESIGN", "price"), ("ADMINER_DEFAULT_SERVER", "ch04-lab-db")];
    let web = Server::start(&["php", "-S", &address, "-t", "."], directory.path(), port, &variables);
    let (_, page) = web.get("/");
    assert!(page.contains("value=\"ch04-lab-db\"") && page.contains("designs/price/adminer.css"), "{page}");
}

#[test]
fn httpd_goes_to_the_background_and_sends_what_does_not_fit_in_memory() {
    use std::io::Read as _;
    let directory = tempfile::tempdir().unwrap();
    let (port, size) = (free_port(), 3_000_000_u64);
    fs::write(directory.path().join("big"), vec![7; usize::try_from(size).unwrap()]).unwrap();
    let status = Command::new(BINARY).args(["httpd", "-p", &port.to_string(), "-h"]).arg(directory.path()).status().unwrap();
    assert!(status.success(), "the command ends when its port is open");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /big HTTP/1.1\r\nHost: test\r\n\r\nGET /big HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.iter().filter(|byte| **byte == 7).count() as u64, 2 * size, "both answers of one connection are whole");
    let background = std::process::Command::new(BINARY).args(["pgrep", "-f", &format!("httpd -p {port} ")]).output().unwrap();
    let pid: i32 = String::from_utf8(background.stdout).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
}

#[test]
fn nc_sends_what_it_has_to_one_that_only_listens() {
    let port = free_port();
    let mut nc = Command::new(BINARY)
        .args(["nc", "-l", &port.to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    nc.stdin.take().unwrap().write_all(b"rung\n").unwrap();
    let wanted = format!(":{port:04X} ");
    while !fs::read_to_string("/proc/net/tcp6").unwrap().lines().any(|line| line.contains(&wanted) && line.contains(" 0A ")) {
        std::thread::yield_now();
    }
    // It sleeps while the other side comes and says that it will say nothing, so that it finds both at once.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(nc.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    while !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ") {
        std::thread::yield_now();
    }
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    let mut heard = String::new();
    std::io::Read::read_to_string(&mut client, &mut heard).unwrap();
    assert_eq!(heard, "rung\n");
    assert!(nc.wait().unwrap().success());
}
