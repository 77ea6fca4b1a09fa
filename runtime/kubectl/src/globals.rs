//! The flags every command has.
// upstream: cli-runtime/pkg/genericclioptions/config_flags.go, kubectl/pkg/cmd/cmd.go

use clap::{Arg, ArgMatches, Command};

use crate::flags::{Flags, array, duration, map, number, switch, switch_on, text};

/// What the global flags say.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// `--kubeconfig`
    pub kubeconfig: String,
    /// `--context`
    pub context: String,
    /// `--cluster`
    pub cluster: String,
    /// `--user`
    pub user: String,
    /// `--namespace`
    pub namespace: String,
    /// `--server`
    pub server: String,
    /// `--token`
    pub token: String,
    /// `--username`
    pub username: String,
    /// `--password`
    pub password: String,
    /// `--as`
    pub as_user: String,
    /// `--as-group`
    pub as_groups: Vec<String>,
    /// `--as-uid`
    pub as_uid: String,
    /// `--certificate-authority`
    pub authority: String,
    /// `--client-certificate`
    pub certificate: String,
    /// `--client-key`
    pub key: String,
    /// `--insecure-skip-tls-verify`, when given
    pub insecure: Option<bool>,
    /// `--tls-server-name`
    pub tls_server_name: String,
    /// `--request-timeout`
    pub request_timeout: String,
    /// `--cache-dir`
    pub cache_directory: String,
    /// `--match-server-version`
    pub match_server_version: bool,
    /// `--warnings-as-errors`
    pub warnings_as_errors: bool,
    /// `-v`
    pub verbosity: i64,
    /// Whether the command makes its client before it asks for the namespace.
    pub client_first: bool,
}

/// Their definitions.
pub fn arguments() -> Vec<Arg> {
    vec![
        text("as", "", "Username to impersonate for the operation. User could be a regular user or a service account in a namespace."),
        array("as-group", "Group to impersonate for the operation, this flag can be repeated to specify multiple groups."),
        text("as-uid", "", "UID to impersonate for the operation."),
        text("cache-dir", "", "Default cache directory"),
        text("certificate-authority", "", "Path to a cert file for the certificate authority"),
        text("client-certificate", "", "Path to a client certificate file for TLS"),
        text("client-key", "", "Path to a client key file for TLS"),
        text("cluster", "", "The name of the kubeconfig cluster to use"),
        text("context", "", "The name of the kubeconfig context to use"),
        switch("disable-compression", "If true, opt-out of response compression for all requests to the server"),
        switch("insecure-skip-tls-verify", "If true, the server's certificate will not be checked for validity. This will make your HTTPS connections insecure"),
        text("kubeconfig", "", "Path to the kubeconfig file to use for CLI requests."),
        duration("log-flush-frequency", "5s", "Maximum number of seconds between log flushes"),
        switch("match-server-version", "Require server version to match client version"),
        text("namespace", "", "If present, the namespace scope for this CLI request").short('n'),
        text("password", "", "Password for basic authentication to the API server"),
        text("profile", "none", "Name of profile to capture. One of (none|cpu|heap|goroutine|threadcreate|block|mutex)"),
        text("profile-output", "profile.pprof", "Name of the file to write the profile to"),
        text("request-timeout", "0", "The length of time to wait before giving up on a single server request. Non-zero values should contain a corresponding time unit (e.g. 1s, 2m, 3h). A value of zero means don't timeout requests."),
        text("server", "", "The address and port of the Kubernetes API server").short('s'),
        text("tls-server-name", "", "Server name to use for server certificate validation. If it is not provided, the hostname used to contact the server is used"),
        text("token", "", "Bearer token for authentication to the API server"),
        text("user", "", "The name of the kubeconfig user to use"),
        text("username", "", "Username for basic authentication to the API server"),
        number("v", "0", "number for the log level verbosity").short('v'),
        map("vmodule", "comma-separated list of pattern=N settings for file-filtered logging (only works for the default text log format)"),
        switch("warnings-as-errors", "Treat warnings received from the server as errors and exit with a non-zero exit code"),
        switch_on("logtostderr", "log to standard error instead of files").hide(true),
        switch("help", "help for kubectl").short('h').hide(true),
    ]
}

/// A command with the global flags it does not define itself.
pub fn with_globals(mut command: Command) -> Command {
    for mut argument in arguments() {
        if command.get_arguments().any(|own| own.get_long() == argument.get_long()) {
            continue;
        }
        if argument.get_short().is_some_and(|short| command.get_arguments().any(|own| own.get_short() == Some(short))) {
            argument = argument.short(None);
        }
        command = command.arg(argument);
    }
    command
}

impl Globals {
    /// Read them. A flag that a command defines itself is not the global one.
    pub fn read(given: &ArgMatches, command: &Command) -> Self {
        let matches = &Shadowed { given, own: command.get_arguments().filter_map(clap::Arg::get_long).collect() };
        Self {
            kubeconfig: matches.text("kubeconfig"),
            context: matches.text("context"),
            cluster: matches.text("cluster"),
            user: matches.text("user"),
            namespace: matches.text("namespace"),
            server: matches.text("server"),
            token: matches.text("token"),
            username: matches.text("username"),
            password: matches.text("password"),
            as_user: matches.text("as"),
            as_groups: matches.texts("as-group"),
            as_uid: matches.text("as-uid"),
            authority: matches.text("certificate-authority"),
            certificate: matches.text("client-certificate"),
            key: matches.text("client-key"),
            insecure: matches.changed("insecure-skip-tls-verify").then(|| matches.on("insecure-skip-tls-verify")),
            tls_server_name: matches.text("tls-server-name"),
            request_timeout: matches.text("request-timeout"),
            cache_directory: matches.text("cache-dir"),
            match_server_version: matches.on("match-server-version"),
            warnings_as_errors: matches.on("warnings-as-errors"),
            verbosity: matches.number("v"),
            client_first: false,
        }
    }
}

/// The flags of a line without those a command defines itself.
struct Shadowed<'a> {
    given: &'a ArgMatches,
    own: Vec<&'a str>,
}

impl Shadowed<'_> {
    fn of<T>(&self, name: &str, read: impl Fn(&ArgMatches) -> T, none: T) -> T {
        if self.own.contains(&name) { none } else { read(self.given) }
    }

    fn text(&self, name: &str) -> String {
        self.of(name, |given| given.text(name), String::new())
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.of(name, |given| given.texts(name), Vec::new())
    }

    fn on(&self, name: &str) -> bool {
        self.of(name, |given| given.on(name), false)
    }

    fn changed(&self, name: &str) -> bool {
        self.of(name, |given| given.changed(name), false)
    }

    fn number(&self, name: &str) -> i64 {
        self.of(name, |given| given.number(name), 0)
    }
}
