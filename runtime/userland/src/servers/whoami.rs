//! `whoami-web`: says which machine answered, as a JSON string.

use std::sync::Arc;

use super::{Handler, Reply, Service, usual_port};
use crate::{applets::Arguments, complain, environment};

/// `whoami-web [-p PORT]`
pub(crate) fn whoami_web(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "p:", &[("port", 'p')]) else { return 1 };
    let Ok(port) = arguments.value('p').map_or_else(usual_port, str::to_owned).parse() else {
        complain("whoami-web", "invalid port");
        return 1;
    };
    let handler: Arc<Handler> = Arc::new(|_| {
        let text = format!("I'm {} running on {}", environment::host_name(), system());
        Reply::new("200 OK", "application/json; charset=utf-8", serde_json::to_vec(&text).unwrap_or_default())
    });
    match Service::new("whoami-web", "drydock-userland", port, handler).open() {
        Ok(open) => {
            println!("Now listening on: http://[::]:{port}");
            open.serve()
        }
        Err(status) => status,
    }
}

/// The operating system as .NET describes it.
pub(super) fn system() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "Linux".to_owned(),
        |uname| format!("{} {} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy(), uname.version().to_string_lossy()),
    )
}
