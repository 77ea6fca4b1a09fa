//! The to-do list of the configuration and storage chapters: a web site over [`Store`], whose settings are watched.

use std::sync::Arc;

use super::{Host, log::Level, settings::Settings, todo_store::Store};
use crate::{
    clock, environment,
    servers::{Handler, Reply, Request, error_reply, escaped, whoami},
};

/// The longest item, in characters.
const LONGEST: usize = 256;
const STYLE: &str = "body { font: 16px sans-serif; margin: 0; display: flex; min-height: 100vh; }\nnav { background: #1d4e89; padding: 1em 2em; }\nnav a { color: white; display: block; margin: .8em 0; text-decoration: none; }\nmain { padding: 1em 2em; }\n.banner { font-weight: bold; color: #a33; }\ntd, th { padding: .3em 1em .3em 0; text-align: left; overflow-wrap: anywhere; }\n";

/// `ToDoList.dll`
pub(super) fn todo_list() -> i32 {
    let host = match Host::start(&["appsettings.json", "config/logging.json", "config/config.json", "secrets/secrets.json"]) {
        Ok(host) => host,
        Err(status) => return status,
    };
    if let Err(message) = Store::of(&host.settings()) {
        eprintln!("Unhandled exception. System.InvalidOperationException: {message}");
        return super::UNHANDLED;
    }
    let shared = Arc::clone(&host);
    let handler: Arc<Handler> = Arc::new(move |request| Site { host: &shared, settings: shared.settings() }.reply(request));
    host.serve(handler)
}

/// The site for one request.
struct Site<'a> {
    host: &'a Host,
    settings: Arc<Settings>,
}

impl Site<'_> {
    fn reply(&self, request: &Request) -> Reply {
        let path = request.path().to_ascii_lowercase();
        let answer = match (request.method.as_str(), path.trim_end_matches('/')) {
            ("GET" | "HEAD", "" | "/index") => self.index(),
            ("GET" | "HEAD", "/list") => self.list(),
            ("GET" | "HEAD", "/new") => Ok(self.form("")),
            ("POST", "/new") => self.add(request),
            ("GET" | "HEAD", "/config") => Ok(self.config()),
            ("GET" | "HEAD", "/diagnostics") => Ok(self.diagnostics()),
            ("GET" | "HEAD", "/static/css/site.css") => Ok(Reply::new("200 OK", "text/css", STYLE).with("Cache-Control", "public, max-age=432000")),
            ("GET" | "HEAD" | "POST", _) => Ok(not_found()),
            _ => Ok(error_reply("405 Method Not Allowed")),
        };
        answer.unwrap_or_else(|message| {
            self.host.log(Level::Error, "Microsoft.AspNetCore.Server.Kestrel", &format!("An unhandled exception was thrown by the application.\n{message}"));
            let shown = if super::environment(&self.settings) == "Development" { escaped(&message) } else { String::new() };
            let mut reply = self.page("", &format!("      <h1>An error occurred</h1>\n      <p>The list cannot be reached now. The log says why.</p>\n      <p>{shown}</p>\n"));
            reply.status = "500 Internal Server Error".into();
            reply
        })
    }

    fn debug(&self, page: &str, message: &str) {
        self.host.log(Level::Debug, &format!("ToDoList.Pages.{page}Model"), message);
    }

    fn index(&self) -> Result<Reply, String> {
        self.debug("Index", "GET / called");
        let count = Store::of(&self.settings)?.count()?;
        self.debug("Index", &format!("Fetched count: {count} from service"));
        let banner = self.settings.get("BannerMessage").unwrap_or_default();
        Ok(self.page(
            banner,
            &format!("      <h1>Welcome to the TODO list</h1>\n      <p>You have {count} items to do.</p>\n      <p><a href=\"/list\">See the list</a> or <a href=\"/new\">add a new item</a>.</p>\n"),
        ))
    }

    fn list(&self) -> Result<Reply, String> {
        self.debug("List", "GET /list called");
        let items = Store::of(&self.settings)?.items()?;
        self.debug("List", &format!("Fetched {} items from service", items.len()));
        let rows: String = items
            .iter()
            .map(|item| format!("        <tr><td>{}</td><td>{}</td></tr>\n", escaped(&item.text), clock::format_time("%A, %d %B %Y", item.added)))
            .collect();
        Ok(self.page(
            "",
            &format!("      <h1>TODO List</h1>\n      <p><a href=\"/new\">Add another item</a></p>\n      <table class=\"table\">\n        <tr><th>Item</th><th>Date Added</th></tr>\n{rows}      </table>\n"),
        ))
    }

    fn form(&self, complaint: &str) -> Reply {
        let read_only = self.settings.is_on("Database:ReadOnly");
        let disabled = if read_only { " disabled" } else { "" };
        self.page(
            if read_only { "*** READ ONLY MODE ***" } else { "" },
            &format!("      <h1>New Item</h1>\n      <form method=\"post\" action=\"/new\">\n        <fieldset{disabled}>\n          <label>Name: <input name=\"ToDo.Item\" maxlength=\"{LONGEST}\" required></label>\n          <input type=\"submit\" value=\"Submit\">\n        </fieldset>\n      </form>\n      <p class=\"banner\">{complaint}</p>\n"),
        )
    }

    fn add(&self, request: &Request) -> Result<Reply, String> {
        self.debug("New", "POST /new called");
        let item = request.field("ToDo.Item").unwrap_or_default();
        let item = item.trim();
        if item.is_empty() {
            return Ok(self.form("The Item field is required."));
        }
        if item.chars().count() > LONGEST {
            return Ok(self.form("Item is too big"));
        }
        if self.settings.is_on("Database:ReadOnly") {
            return Ok(self.form("Nothing can be added now."));
        }
        Store::of(&self.settings)?.add(item)?;
        self.host.log(Level::Information, "ToDoList.Pages.NewModel", "New item created");
        Ok(Reply::new("302 Found", "text/html", Vec::new()).with("Location", "/list"))
    }

    fn config(&self) -> Reply {
        if !self.settings.is_on("ConfigController:Enabled") {
            self.host.log(Level::Warning, "ToDoList.Pages.ConfigModel", "Attempt to view config settings");
            return not_found();
        }
        self.debug("Config", "GET /config called");
        let rows: String = self.settings.all().map(|(key, value)| format!("        <tr><td>{}</td><td>{}</td></tr>\n", escaped(key), escaped(value))).collect();
        self.page("", &format!("      <h1>Config</h1>\n      <table class=\"table\">\n        <tr><th>Key</th><th>Value</th></tr>\n{rows}      </table>\n"))
    }

    fn diagnostics(&self) -> Reply {
        let machine = nix::sys::utsname::uname().map_or_else(|_| String::new(), |uname| uname.machine().to_string_lossy().into_owned());
        let cells = [environment::host_name(), "Drydock, in the place of .NET".to_owned(), machine, whoami::system()].map(|cell| format!("<td>{}</td>", escaped(&cell))).concat();
        self.page(
            "",
            &format!("      <h1>Diagnostics</h1>\n      <table class=\"table\">\n        <tr><th>Hostname</th><th>Runtime</th><th>OS Architecture</th><th>OS Description</th></tr>\n        <tr>{cells}</tr>\n      </table>\n"),
        )
    }

    fn page(&self, banner: &str, content: &str) -> Reply {
        let stage = match super::environment(&self.settings).as_str() {
            "Development" => "      <div>[This is DEV]</div>\n",
            "Test" => "      <div>[This is TEST]</div>\n",
            _ => "",
        };
        let banner = if banner.is_empty() { String::new() } else { format!("      <div class=\"banner\">{}</div>\n", escaped(banner)) };
        Reply::page(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"utf-8\">\n    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n    <title>KIAMOL To-Do List</title>\n    <link rel=\"stylesheet\" href=\"/static/css/site.css\">\n  </head>\n  <body>\n    <nav>\n      <a href=\"/\">Home</a>\n      <a href=\"/new\">New item</a>\n      <a href=\"/list\">To-do list</a>\n      <a href=\"/diagnostics\">Diagnostics</a>\n    </nav>\n    <main>\n{banner}{stage}{content}    </main>\n  </body>\n</html>\n"
        ))
    }
}

fn not_found() -> Reply {
    Reply::new("404 Not Found", "text/plain", "Status Code: 404; Not Found\n")
}
