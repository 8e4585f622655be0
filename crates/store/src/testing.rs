//! The documents in a form in which two stores can be compared.

use std::{collections::BTreeMap, path::Path};

use rusqlite::Connection;

use super::{Error, schema};

/// Not made from entries alone: what outlives the journal depends on when it is trimmed.
const NOT_FROM_ENTRIES: &[&str] = &["kept"];

/// Every document in the `state.db` of a data folder that no host uses: by table, each row with the bytes of all its columns. In
/// order of the rows where they have one; a number that says no more than that order is left out.
pub fn documents(data: &Path) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let Some(db) = schema::open_unchanged(data)? else { return Ok(BTreeMap::new()) };
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut all = BTreeMap::new();
    for table in strings(&db, tables)? {
        if !NOT_FROM_ENTRIES.contains(&table.as_str()) {
            let rows = rows(&db, &table)?;
            all.insert(table, rows);
        }
    }
    Ok(all)
}

fn rows(db: &Connection, table: &str) -> Result<Vec<String>, Error> {
    let is_ordered = table == "outgoing";
    let mut columns = strings(db, &format!("SELECT name FROM pragma_table_info('{table}')"))?;
    columns.retain(|column| !(is_ordered && column == "num"));
    let columns: Vec<_> = columns.iter().map(|column| format!("'{column}=' || quote({column})")).collect();
    let order = if is_ordered { "num" } else { "1" };
    strings(db, &format!("SELECT {} FROM {table} ORDER BY {order}", columns.join(" || ' ' || ")))
}

fn strings(db: &Connection, select: &str) -> Result<Vec<String>, Error> {
    let mut statement = db.prepare(select)?;
    let found = statement.query_map([], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
