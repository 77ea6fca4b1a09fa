//! Where to-do items are kept: a SQLite file, or a PostgreSQL server.

use std::{io, path::PathBuf, time::Duration};

use super::settings::Settings;
use crate::{
    clock,
    servers::{
        now,
        postgres::{Connection, Failure, Login, identifier, literal},
        sqlite::{Table, Value},
    },
    sys,
};

/// How often a server that is away is asked again, and after what time.
const PAUSES: [u64; 5] = [100, 400, 1000, 2000, 4000];
const CREATE: &str = "CREATE TABLE IF NOT EXISTS \"ToDos\" (\"ToDoId\" serial PRIMARY KEY, \"Item\" character varying(256) NOT NULL, \"DateAdded\" timestamp with time zone NOT NULL)";

/// An item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) text: String,
    /// Seconds since the epoch.
    pub(super) added: i64,
}

/// Where items are kept.
pub(super) enum Store {
    Sqlite(Table),
    Postgres(Login),
}

impl Store {
    /// The store the settings name, or what is wrong with them.
    pub(super) fn of(settings: &Settings) -> Result<Self, String> {
        let name = if settings.is_on("Database:ReadOnly") { "ToDoDb-ReadOnly" } else { "ToDoDb" };
        let text = settings.get(&format!("ConnectionStrings:{name}")).unwrap_or_default();
        let value = |names: &[&str]| {
            text.split(';').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                names.iter().any(|name| key.trim().eq_ignore_ascii_case(name)).then(|| value.trim().to_owned())
            })
        };
        let provider = settings.get("Database:Provider").filter(|name| !name.is_empty()).unwrap_or("Sqlite");
        if provider.eq_ignore_ascii_case("sqlite") || provider == "0" {
            let path = value(&["Filename", "Data Source", "DataSource"]).unwrap_or_else(|| "todo-list.db".to_owned());
            return Ok(Self::Sqlite(Table {
                path: PathBuf::from(path),
                name: "ToDos",
                sql: "CREATE TABLE \"ToDos\" (\"ToDoId\" INTEGER NOT NULL CONSTRAINT \"PK_ToDos\" PRIMARY KEY, \"Item\" TEXT NOT NULL, \"DateAdded\" TEXT NOT NULL)",
            }));
        }
        if provider.eq_ignore_ascii_case("postgres") || provider == "1" {
            let user = value(&["User Id", "UserId", "Username", "User Name", "User"]).unwrap_or_else(|| "postgres".to_owned());
            return Ok(Self::Postgres(Login {
                host: value(&["Server", "Host"]).ok_or("Host can't be null")?,
                port: value(&["Port"]).and_then(|port| port.parse().ok()).unwrap_or(5432),
                database: value(&["Database", "DB"]).unwrap_or_else(|| user.clone()),
                password: value(&["Password", "PWD"]).unwrap_or_default(),
                user,
            }));
        }
        Err(format!("Failed to convert configuration value '{provider}' at 'Database:Provider': the providers are Sqlite and Postgres"))
    }

    /// How many items there are.
    pub(super) fn count(&self) -> Result<usize, String> {
        self.items().map(|items| items.len())
    }

    /// All items in the order they were added.
    pub(super) fn items(&self) -> Result<Vec<Item>, String> {
        match self {
            Self::Sqlite(table) => {
                let read = table.create().and_then(|()| table.rows()).map_err(|error| sqlite_error(&error))?;
                Ok(read.into_iter().map(|(_, columns)| sqlite_item(&columns)).collect())
            }
            Self::Postgres(login) => {
                let rows = ask(login, "SELECT \"Item\", extract(epoch FROM \"DateAdded\")::bigint FROM \"ToDos\" ORDER BY \"ToDoId\"")?;
                Ok(rows
                    .into_iter()
                    .map(|row| {
                        let mut values = row.into_iter();
                        let text = values.next().flatten().unwrap_or_default();
                        let added = values.next().flatten().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
                        Item { text, added }
                    })
                    .collect())
            }
        }
    }

    /// Adds an item.
    pub(super) fn add(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(table) => {
                let columns = vec![Value::Null, Value::Text(text.to_owned()), Value::Text(clock::format_time("%F %T", now()))];
                table.insert(columns).map_err(|error| sqlite_error(&error))
            }
            Self::Postgres(login) => {
                ask(login, &format!("INSERT INTO \"ToDos\" (\"Item\", \"DateAdded\") VALUES ({}, now())", literal(text))).map(|_| ())
            }
        }
    }
}

fn sqlite_error(error: &io::Error) -> String {
    let (number, text) = match error.kind() {
        io::ErrorKind::InvalidData => (26, error.to_string()),
        io::ErrorKind::ReadOnlyFilesystem => (8, "attempt to write a readonly database".to_owned()),
        io::ErrorKind::StorageFull => (13, "database or disk is full".to_owned()),
        _ => (14, format!("unable to open database file: {}", sys::reason(error))),
    };
    format!("Microsoft.Data.Sqlite.SqliteException: SQLite Error {number}: '{text}'.")
}

fn sqlite_item(columns: &[Value]) -> Item {
    let text = |index: usize| match columns.get(index) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    Item { text: text(1), added: seconds(&text(2)) }
}

/// `2026-11-21 11:22:33...` as seconds since the epoch; the time of day matters to nobody here.
fn seconds(text: &str) -> i64 {
    let mut parts = text.split(['-', ' ', 'T']).map_while(|part| part.parse::<i64>().ok());
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else { return 0 };
    // Days since the epoch, with years that begin in March so that the leap day is the last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (365 * shifted + shifted.div_euclid(4) - shifted.div_euclid(100) + shifted.div_euclid(400) + of_year - 719_468) * 86_400
}

/// Asks on a connection of its own, as often as it is worth it: a database that starts or moves is away for seconds.
fn ask(login: &Login, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let mut pauses = PAUSES.iter();
    loop {
        let outcome = connect(login).and_then(|mut connection| {
            connection.query(CREATE)?;
            connection.query(sql)
        });
        match outcome {
            Ok(rows) => return Ok(rows.rows),
            Err(failure) => match (is_passing(&failure), pauses.next()) {
                (true, Some(pause)) => std::thread::sleep(Duration::from_millis(*pause)),
                _ => return Err(format!("Npgsql.PostgresException (0x80004005): {failure}")),
            },
        }
    }
}

/// The database starts, stops, or cannot be reached; or two requests made the same database or table at once: `IF NOT EXISTS`
/// looks before it makes, so the slower of two gets a duplicate key in the system's tables.
// man: PostgreSQL, Appendix A, error codes
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Connection(_) => true,
        Failure::Server { code, .. } => {
            let begins = ["57P", "08", "53"].iter().any(|class| code.starts_with(class));
            begins || ["23505", "42P07", "42710", "55006"].contains(&code.as_str())
        }
    }
}

/// Connects; makes the database when it does not exist.
fn connect(login: &Login) -> Result<Connection, Failure> {
    match Connection::open(login) {
        Err(Failure::Server { code, .. }) if code == "3D000" => {
            let mut main = Connection::open(&Login { database: "postgres".to_owned(), ..login.clone() })?;
            match main.query(&format!("CREATE DATABASE {}", identifier(&login.database))) {
                // Somebody else was first.
                Err(Failure::Server { code, .. }) if code == "42P04" => {}
                other => drop(other?),
            }
            Connection::open(login)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::settings::Sources, *};

    #[test]
    fn what_passes_is_asked_again() {
        for (code, passes) in [
            ("57P03", true), ("08006", true), ("53300", true), ("23505", true), ("42P07", true), ("55006", true),
            ("28P01", false), ("42601", false), ("3D000", false),
        ] {
            let failure = Failure::Server { code: code.to_owned(), message: String::new() };
            assert_eq!(is_passing(&failure), passes, "{code}");
        }
    }

    fn store(variables: &[(&str, &str)]) -> Result<Store, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Store::of(&Sources::new(Vec::new(), variables).read().unwrap())
    }

    #[test]
    fn connection_strings_say_where() {
        let text = "Server=todo-db;Database=todo;User Id=postgres;Password=kiamol-2*2*;";
        let Ok(Store::Postgres(login)) = store(&[("Database__Provider", "Postgres"), ("ConnectionStrings__ToDoDb", text)]) else { panic!() };
        assert_eq!((login.host.as_str(), login.port, login.database.as_str()), ("todo-db", 5432, "todo"));
        assert_eq!((login.user.as_str(), login.password.as_str()), ("postgres", "kiamol-2*2*"));
        let Ok(Store::Sqlite(table)) = store(&[("ConnectionStrings__ToDoDb", "Filename=/data/x.db")]) else { panic!() };
        assert_eq!(table.path, PathBuf::from("/data/x.db"));
        assert!(store(&[("Database__Provider", "Oracle")]).is_err());
    }

    #[test]
    fn items_are_kept_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = format!("Data Source={}/list.db", directory.path().display());
        let store = store(&[("ConnectionStrings__ToDoDb", &file)]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(store.count(), Ok(0));
        store.add("buy milk").unwrap();
        let items = store.items().unwrap();
        assert_eq!(items[0].text, "buy milk");
        assert!(now() - items[0].added < 2 * 86_400 && items[0].added % 86_400 == 0);
    }

    #[test]
    fn dates_are_read() {
        for (text, wanted) in [("1970-01-01 00:00:00", 0), ("2000-02-29 12:00:00", 951_782_400), ("2026-01-01", 1_767_225_600), ("nonsense", 0)] {
            assert_eq!(seconds(text), wanted, "{text}");
        }
    }
}
