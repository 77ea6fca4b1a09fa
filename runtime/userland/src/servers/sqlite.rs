//! One table in a file of SQLite's format, so that what an application stored can be read with any SQLite tool.
//!
//! A file is read whole and written whole: to a new file that takes the old one's place. Writers take turns by a lock on
//! the directory. That is enough for lists that people type; it is no database.
//!
//! Format: <https://www.sqlite.org/fileformat2.html>. Page 1 holds the schema, page 2 the root of the table's tree.

use std::{
    fs,
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

const PAGE: usize = 4096;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const LEAF: u8 = 13;
const INTERIOR: u8 = 5;

/// A column's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// A row: its number and its columns.
pub(super) type Row = (i64, Vec<Value>);

/// A table in a file.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) name: &'static str,
    /// `CREATE TABLE ...`
    pub(super) sql: &'static str,
}

impl Table {
    /// All rows by number; none when the file does not exist.
    pub(super) fn rows(&self) -> io::Result<Vec<Row>> {
        match fs::read(&self.path) {
            Ok(bytes) if bytes.is_empty() => Ok(Vec::new()),
            Ok(bytes) => self.read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Makes the file if it is not there yet.
    pub(super) fn create(&self) -> io::Result<()> {
        if self.path.exists() { Ok(()) } else { self.change(|_| {}) }
    }

    /// Adds a row behind all others.
    pub(super) fn insert(&self, columns: Vec<Value>) -> io::Result<()> {
        self.change(|rows| {
            let next = rows.last().map_or(1, |(id, _)| id + 1);
            rows.push((next, columns));
        })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Row>)) -> io::Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let lock = Flock::lock(fs::File::open(directory)?, FlockArg::LockExclusive).map_err(|(_, error)| io::Error::from(error))?;
        let mut rows = self.rows()?;
        change(&mut rows);
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push("-new");
        let temporary = directory.join(name);
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&self.file(&rows)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        nix::unistd::fsync(lock.as_fd())?;
        Ok(())
    }

    fn read(&self, bytes: &[u8]) -> io::Result<Vec<Row>> {
        if bytes.len() < 100 || !bytes.starts_with(MAGIC) {
            return Err(bad("file is not a database"));
        }
        let size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        if size < 512 || bytes[20] != 0 {
            return Err(bad("a page size that is not supported"));
        }
        let file = File { bytes, size };
        let mut schema = Vec::new();
        file.collect(1, &mut schema, 0)?;
        let is_ours = |columns: &[Value]| columns.first() == Some(&Value::Text("table".to_owned())) && columns.get(1) == Some(&Value::Text(self.name.to_owned()));
        let Some((_, columns)) = schema.iter().find(|(_, columns)| is_ours(columns)) else { return Ok(Vec::new()) };
        let Some(Value::Integer(root)) = columns.get(3) else { return Err(bad("malformed schema")) };
        let mut rows = Vec::new();
        file.collect(usize::try_from(*root).map_err(|_| bad("malformed schema"))?, &mut rows, 0)?;
        Ok(rows)
    }

    /// The whole file with these rows.
    fn file(&self, rows: &[Row]) -> io::Result<Vec<u8>> {
        let schema = [Value::Text("table".to_owned()), Value::Text(self.name.to_owned()), Value::Text(self.name.to_owned()), Value::Integer(2), Value::Text(self.sql.to_owned())];
        let mut first = page(LEAF, &[leaf_cell(1, &schema)?], None, 100)?;
        let pages = tree(rows)?;
        header(&mut first, u32::try_from(pages.len() + 1).map_err(io::Error::other)?, u32::try_from(rows.len() + 1).unwrap_or(1));
        Ok(std::iter::once(first).chain(pages).flatten().collect())
    }
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// The table's pages from page 2 on, its root first.
fn tree(rows: &[Row]) -> io::Result<Vec<Vec<u8>>> {
    // One level at a time, leaves first. A node: its cells, its right-most child, the largest row below it.
    let mut cells = Vec::new();
    for (id, columns) in rows {
        cells.push((leaf_cell(*id, columns)?, *id));
    }
    let mut level: Vec<(Vec<Vec<u8>>, i64)> = split(cells, 8);
    if level.is_empty() {
        level.push((Vec::new(), 0));
    }
    let mut pages: Vec<Vec<u8>> = Vec::new();
    if let [(cells, _)] = level.as_slice() {
        return Ok(vec![page(LEAF, cells, None, 0)?]);
    }
    // The root is page 2, so what lies below begins with page 3.
    let mut next_number = 3_u32;
    let mut numbered = Vec::new();
    for (cells, last) in level {
        pages.push(page(LEAF, &cells, None, 0)?);
        numbered.push((next_number, last));
        next_number += 1;
    }
    loop {
        let children = std::mem::take(&mut numbered);
        let cells = children.iter().map(|(number, last)| ([&number.to_be_bytes()[..], &varint(*last)].concat(), *last)).collect();
        let nodes = split(cells, 12);
        let is_root = nodes.len() == 1;
        for (mut cells, last) in nodes {
            // The last child of a node is not a cell but its right pointer.
            let right = cells.pop().and_then(|cell| Some(u32::from_be_bytes(cell.get(..4)?.try_into().ok()?)));
            let content = page(INTERIOR, &cells, right, 0)?;
            if is_root {
                pages.insert(0, content);
                return Ok(pages);
            }
            pages.push(content);
            numbered.push((next_number, last));
            next_number += 1;
        }
    }
}

/// Packs cells into pages whose header takes `head` bytes; gives each page's cells and its largest row.
fn split(cells: Vec<(Vec<u8>, i64)>, head: usize) -> Vec<(Vec<Vec<u8>>, i64)> {
    let mut pages: Vec<(Vec<Vec<u8>>, i64)> = Vec::new();
    let mut used = PAGE;
    for (cell, id) in cells {
        used += cell.len() + 2;
        if used > PAGE {
            used = head + cell.len() + 2;
            pages.push((Vec::new(), id));
        }
        if let Some((page, last)) = pages.last_mut() {
            page.push(cell);
            *last = id;
        }
    }
    pages
}

/// A page of the tree; page 1 begins with `before` bytes of another kind.
fn page(kind: u8, cells: &[Vec<u8>], right: Option<u32>, before: usize) -> io::Result<Vec<u8>> {
    let mut page = vec![0; PAGE];
    let mut pointer = before + if right.is_some() { 12 } else { 8 };
    let mut content = PAGE;
    for cell in cells {
        content = content.checked_sub(cell.len()).filter(|start| *start >= pointer + 2).ok_or_else(|| bad("a row is too long"))?;
        page[content..content + cell.len()].copy_from_slice(cell);
        page[pointer..pointer + 2].copy_from_slice(&u16::try_from(content).map_err(io::Error::other)?.to_be_bytes());
        pointer += 2;
    }
    page[before] = kind;
    page[before + 3..before + 5].copy_from_slice(&u16::try_from(cells.len()).map_err(io::Error::other)?.to_be_bytes());
    page[before + 5..before + 7].copy_from_slice(&u16::try_from(content).map_err(io::Error::other)?.to_be_bytes());
    if let Some(right) = right {
        page[before + 8..before + 12].copy_from_slice(&right.to_be_bytes());
    }
    Ok(page)
}

fn header(page: &mut [u8], pages: u32, counter: u32) {
    page[..16].copy_from_slice(MAGIC);
    page[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    // Read and write version: a rollback journal; no reserved bytes; the three fixed fractions.
    page[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
    for (offset, number) in [(24, counter), (28, pages), (40, 1), (44, 4), (56, 1), (92, counter), (96, 3_037_000)] {
        page[offset..offset + 4].copy_from_slice(&number.to_be_bytes());
    }
}

/// A row as a cell of a leaf.
fn leaf_cell(id: i64, columns: &[Value]) -> io::Result<Vec<u8>> {
    let mut types = Vec::new();
    let mut body = Vec::new();
    for column in columns {
        match column {
            Value::Null => types.extend(varint(0)),
            Value::Integer(number) => {
                types.extend(varint(6));
                body.extend(number.to_be_bytes());
            }
            Value::Text(text) => {
                types.extend(varint(i64::try_from(text.len() * 2 + 13).map_err(io::Error::other)?));
                body.extend(text.as_bytes());
            }
        }
    }
    // The header's length counts itself; one byte is enough for it below 127.
    let head = i64::try_from(types.len() + 1).map_err(io::Error::other)?;
    let payload = [varint(head), types, body].concat();
    if payload.len() > PAGE - 35 {
        return Err(bad("a row is too long"));
    }
    Ok([varint(i64::try_from(payload.len()).map_err(io::Error::other)?), varint(id), payload].concat())
}

/// SQLite's variable-length number: seven bits a byte, the highest first.
fn varint(number: i64) -> Vec<u8> {
    let mut rest = number.cast_unsigned();
    let mut bytes = vec![(rest & 0x7f) as u8];
    rest >>= 7;
    while rest > 0 {
        bytes.insert(0, (rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

/// A file that is read.
struct File<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl File<'_> {
    /// Adds the rows below page `number` to `rows`.
    fn collect(&self, number: usize, rows: &mut Vec<Row>, depth: usize) -> io::Result<()> {
        let malformed = || bad("database disk image is malformed");
        let start = number.checked_sub(1).ok_or_else(malformed)? * self.size;
        let page = self.bytes.get(start..start + self.size).filter(|_| depth < 20).ok_or_else(malformed)?;
        let before = if number == 1 { 100 } else { 0 };
        let short = |at: usize| Some(usize::from(u16::from_be_bytes(page.get(at..at + 2)?.try_into().ok()?)));
        let long = |at: usize| usize::try_from(u32::from_be_bytes(page.get(at..at + 4)?.try_into().ok()?)).ok();
        let kind = page[before];
        let count = short(before + 3).ok_or_else(malformed)?;
        for index in 0..count {
            let at = short(before + if kind == INTERIOR { 12 } else { 8 } + 2 * index).ok_or_else(malformed)?;
            match kind {
                INTERIOR => self.collect(long(at).ok_or_else(malformed)?, rows, depth + 1)?,
                LEAF => rows.push(row(page.get(at..).ok_or_else(malformed)?, self.size).ok_or_else(malformed)?),
                _ => return Err(malformed()),
            }
        }
        if kind == INTERIOR {
            self.collect(long(before + 8).ok_or_else(malformed)?, rows, depth + 1)?;
        }
        Ok(())
    }
}

/// Reads a leaf's cell; rows that go on in other pages are not ours.
fn row(cell: &[u8], size: usize) -> Option<Row> {
    let mut at = 0;
    let length = usize::try_from(read_varint(cell, &mut at)?).ok().filter(|length| *length <= size - 35)?;
    let id = read_varint(cell, &mut at)?;
    let payload = cell.get(at..at + length)?;
    let mut head = 0;
    let head_end = usize::try_from(read_varint(payload, &mut head)?).ok()?;
    let mut body = head_end;
    let mut columns = Vec::new();
    while head < head_end {
        let kind = read_varint(payload, &mut head)?;
        let width = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            _ => usize::try_from(kind - 12).ok()? / 2,
        };
        let bytes = payload.get(body..body + width)?;
        body += width;
        columns.push(match kind {
            0 => Value::Null,
            8 | 9 => Value::Integer(kind - 8),
            1..=6 => Value::Integer(bytes.iter().fold(if bytes[0] & 0x80 == 0 { 0 } else { -1 }, |number: i64, byte| (number << 8) | i64::from(*byte))),
            _ => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        });
    }
    Some((id, columns))
}

fn read_varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut number = 0_u64;
    for index in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if index == 8 {
            return Some(((number << 8) | u64::from(byte)).cast_signed());
        }
        number = (number << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(number.cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(directory: &Path) -> Table {
        Table { path: directory.join("list.db"), name: "ToDos", sql: "CREATE TABLE \"ToDos\" (\"ToDoId\" INTEGER PRIMARY KEY, \"Item\" TEXT NOT NULL)" }
    }

    fn item(text: &str) -> Vec<Value> {
        vec![Value::Null, Value::Text(text.to_owned())]
    }

    #[test]
    fn rows_come_back_whatever_their_number() {
        for count in [0, 1, 3, 200, 20_000] {
            let rows: Vec<Row> = (1..=count).map(|id| (id, item(&format!("{id} {}", "x".repeat(usize::try_from(id % 256).unwrap()))))).collect();
            let directory = tempfile::tempdir().unwrap();
            let table = table(directory.path());
            assert_eq!(table.read(&table.file(&rows).unwrap()).unwrap(), rows, "{count}");
        }
    }

    #[test]
    fn inserts_survive_and_other_tools_agree() {
        let directory = tempfile::tempdir().unwrap();
        let table = table(directory.path());
        assert!(table.rows().unwrap().is_empty());
        table.create().unwrap();
        for index in 0..300 {
            table.insert(item(&format!("item {index} \u{e4}"))).unwrap();
        }
        assert_eq!(table.rows().unwrap().len(), 300);
        let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); print(c.execute('pragma integrity_check').fetchone()[0], c.execute('select count(*), max(ToDoId), min(Item) from ToDos').fetchone()); c.execute(\"insert into ToDos(Item) values('theirs')\"); c.commit()";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(&table.path).output();
        let output = output.expect("a python3 to read the file with (Debian: apt-get install python3)");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ok (300, 300, 'item 0 \u{e4}')\n", "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(table.rows().unwrap().last().unwrap(), &(301, item("theirs")));
    }

    #[test]
    fn other_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let table = table(directory.path());
        for content in [&b"hello"[..], &[0; 200], b"SQLite format 3\0 and then nothing that makes sense, but long enough to have a header of a hundred bytes......"] {
            fs::write(&table.path, content).unwrap();
            assert!(table.rows().is_err());
        }
    }
}
