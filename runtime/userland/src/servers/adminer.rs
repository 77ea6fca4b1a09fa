//! `php -S ADDRESS:PORT -t DIRECTORY`: PHP's development server with one application, a page that looks into databases.
//!
//! It stands in for Adminer: the log-in form takes its defaults from the same variables, and logging in to PostgreSQL is
//! real. Nothing is remembered between requests.

use std::sync::Arc;

use super::{
    Handler, Reply, Request, Service, error_reply, escaped, now,
    postgres::{Connection, Failure, Login, Rows, identifier},
};
use crate::{clock, complain};

/// The designs of the real image.
const DESIGNS: [&str; 24] = [
    "adminer-dark", "arcs-", "brade", "bueltge", "dracula", "esterka", "flat", "galkaev", "haeckel", "hever", "jukin", "kahi",
    "konya", "lavender-light", "lucas-sandery", "mancave", "mvt", "nette", "ng9", "nicu", "pappu687", "paranoiq", "pepa-linha", "price",
];
/// Rows shown of a table.
const MOST_ROWS: usize = 50;

/// `php -S ADDRESS:PORT -t DIRECTORY`
pub(crate) fn php(words: &[String]) -> i32 {
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let Some((address, port)) = value("-S").and_then(|text| text.rsplit_once(':')).and_then(|(address, port)| Some((address, port.parse().ok()?))) else {
        complain("php", "usage: php -S ADDRESS:PORT -t DIRECTORY");
        return 1;
    };
    let root = value("-t").map_or(".", String::as_str);
    if !std::path::Path::new(root).join("index.php").exists() {
        eprintln!("Directory {root} does not exist, or there is nothing to serve in it.");
        return 1;
    }
    let design = design();
    let handler: Arc<Handler> = Arc::new(move |request| {
        let reply = reply(request, design.as_deref());
        let line = format!("[{}] {}:{} [{}]: {} {}\n", stamp(), request.client(), request.peer.port(), reply.code(), request.method, request.target);
        // Nobody reads the log: nothing to be done about it here.
        drop(crate::sys::write_all(2, line.as_bytes()));
        reply
    });
    match Service::new("php", "drydock-userland", port, handler).open() {
        Ok(open) => {
            eprintln!("[{}] Development Server (http://{address}:{port}) started", stamp());
            open.serve()
        }
        Err(status) => status,
    }
}

fn stamp() -> String {
    clock::format_time("%a %b %e %H:%M:%S %Y", now())
}

/// The design asked for, if there is such a one.
fn design() -> Option<String> {
    let wished = std::env::var("ADMINER_DESIGN").ok().filter(|name| !name.is_empty())?;
    if DESIGNS.contains(&wished.as_str()) {
        return Some(wished);
    }
    eprintln!("adminer: there is no design {wished}; known are {}", DESIGNS.join(", "));
    None
}

fn reply(request: &Request, design: Option<&str>) -> Reply {
    let path = request.path();
    if let Some(name) = path.strip_prefix("/designs/").and_then(|rest| rest.strip_suffix("/adminer.css")) {
        if design == Some(name) {
            return Reply::new("200 OK", "text/css", style(name));
        }
        return error_reply("404 Not Found");
    }
    if !matches!(path.as_str(), "/" | "/index.php") {
        return error_reply("404 Not Found");
    }
    match request.method.as_str() {
        "GET" | "HEAD" => page(design, "Login - Adminer", &form(request, "")),
        "POST" => match log_in(request) {
            Ok((title, content)) => page(design, &title, &content),
            Err(message) => page(design, "Login - Adminer", &form(request, &format!("<p class=\"error\">{}</p>\n", escaped(&message)))),
        },
        _ => error_reply("405 Method Not Allowed"),
    }
}

/// A design is a colour of its own, taken from its name.
fn style(name: &str) -> String {
    let hue = name.bytes().fold(0_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 360);
    format!("/* design: {name} */\nbody {{ background: hsl({hue} 40% 94%); }}\nh1 {{ background: hsl({hue} 50% 35%); color: white; padding: .4em; }}\n")
}

fn page(design: Option<&str>, title: &str, content: &str) -> Reply {
    let link = design.map_or_else(String::new, |name| format!("<link rel=\"stylesheet\" href=\"designs/{name}/adminer.css\">\n"));
    Reply::page(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<style>body {{ font: 16px sans-serif; margin: 2em; }} td, th {{ padding: .2em .8em; text-align: left; border: 1px solid #bbb; }} .error {{ color: #b00; }}</style>\n{link}</head>\n<body>\n<h1>{}</h1>\n{content}<p><small>A page of Drydock's in the place of Adminer.</small></p>\n</body>\n</html>\n",
        title.split(" - ").next().unwrap_or(title),
    ))
}

fn form(request: &Request, before: &str) -> String {
    let default = std::env::var("ADMINER_DEFAULT_SERVER").unwrap_or_else(|_| "db".to_owned());
    let filled = |name: &str, usual: &str| escaped(&request.field(name).unwrap_or_else(|| usual.to_owned()));
    let driver = request.field("auth[driver]").unwrap_or_else(|| "server".to_owned());
    let options: String = [("server", "MySQL"), ("pgsql", "PostgreSQL"), ("sqlite", "SQLite 3")]
        .iter()
        .map(|(value, text)| format!("<option value=\"{value}\"{}>{text}</option>", if *value == driver { " selected" } else { "" }))
        .collect();
    let row = |label: &str, name: &str, kind: &str, value: String| {
        format!("<tr><th><label for=\"{name}\">{label}</label></th><td><input id=\"{name}\" name=\"auth[{name}]\" type=\"{kind}\" value=\"{value}\"></td></tr>\n")
    };
    format!(
        "{before}<form action=\"\" method=\"post\">\n<table>\n<tr><th><label for=\"driver\">System</label></th><td><select id=\"driver\" name=\"auth[driver]\">{options}</select></td></tr>\n{}{}{}{}</table>\n<p><input type=\"submit\" value=\"Login\"></p>\n</form>\n",
        row("Server", "server", "text", filled("auth[server]", &default)),
        row("Username", "username", "text", filled("auth[username]", "")),
        row("Password", "password", "password", String::new()),
        row("Database", "db", "text", filled("auth[db]", "")),
    )
}

fn log_in(request: &Request) -> Result<(String, String), String> {
    let field = |name: &str| request.field(&format!("auth[{name}]")).unwrap_or_default();
    if field("driver") != "pgsql" {
        return Err("This stand-in speaks PostgreSQL only: choose it as the system.".to_owned());
    }
    let server = match field("server") {
        server if server.is_empty() => std::env::var("ADMINER_DEFAULT_SERVER").unwrap_or_else(|_| "db".to_owned()),
        server => server,
    };
    let (host, port) = server.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?))).unwrap_or((server.clone(), 5432));
    let database = field("db");
    let shown = if database.is_empty() { "postgres".to_owned() } else { database.clone() };
    let login = Login { host, port, user: field("username"), password: field("password"), database: shown };
    let content = look(&login, !database.is_empty()).map_err(|failure| match failure {
        Failure::Server { message, .. } => message,
        Failure::Connection(message) => message,
    })?;
    let server = escaped(&server);
    let place = if database.is_empty() { server } else { format!("{server} \u{bb} {}", escaped(&database)) };
    Ok((format!("PostgreSQL \u{bb} {place} - Adminer"), format!("<p>Logged as: <b>{}</b></p>\n{content}", escaped(&login.user))))
}

/// The databases of the server, or the tables of one.
fn look(login: &Login, inside: bool) -> Result<String, Failure> {
    let mut connection = Connection::open(login)?;
    let version = connection.query("SHOW server_version")?;
    let version = version.rows.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default();
    let mut content = format!("<p>PostgreSQL version: <b>{}</b></p>\n", escaped(&version));
    if !inside {
        let rows = connection.query("SELECT datname AS \"Database\" FROM pg_database WHERE NOT datistemplate ORDER BY datname")?;
        return Ok(content + "<h2>Databases</h2>\n" + &table(&rows));
    }
    let tables = connection.query("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2")?;
    if tables.rows.is_empty() {
        content.push_str("<p>No tables.</p>\n");
    }
    for row in tables.rows {
        let [Some(schema), Some(name)] = row.as_slice() else { continue };
        let rows = connection.query(&format!("SELECT * FROM {}.{} LIMIT {MOST_ROWS}", identifier(schema), identifier(name)))?;
        content.push_str(&format!("<h2>Table: {}</h2>\n{}", escaped(name), table(&rows)));
    }
    Ok(content)
}

fn table(rows: &Rows) -> String {
    let line = |cells: Vec<String>| format!("<tr>{}</tr>\n", cells.concat());
    let head = line(rows.columns.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect());
    let body: String = rows
        .rows
        .iter()
        .map(|row| line(row.iter().map(|value| format!("<td>{}</td>", value.as_deref().map_or_else(|| "<i>NULL</i>".to_owned(), escaped))).collect()))
        .collect();
    format!("<table>\n{head}{body}</table>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::tests::request;

    #[test]
    fn the_form_shows_the_design_and_refuses_what_it_cannot_do() {
        let body = |reply: Reply| String::from_utf8(reply.body.bytes().unwrap().to_vec()).unwrap();
        let plain = body(reply(&request("GET", "/", ""), None));
        assert!(plain.contains("<title>Login - Adminer</title>") && plain.contains("name=\"auth[server]\" type=\"text\" value=\"db\"") && !plain.contains("designs/"), "{plain}");
        let price = body(reply(&request("GET", "/", ""), Some("price")));
        assert!(price.contains("href=\"designs/price/adminer.css\""));
        assert_eq!(reply(&request("GET", "/designs/price/adminer.css", ""), Some("price")).code(), 200);
        assert_eq!(reply(&request("GET", "/designs/nette/adminer.css", ""), Some("price")).code(), 404);
        let mysql = body(reply(&request("POST", "/", "auth%5Bdriver%5D=server&auth%5Bserver%5D=x"), None));
        assert!(mysql.contains("speaks PostgreSQL only") && mysql.contains("value=\"x\""), "{mysql}");
    }
}
