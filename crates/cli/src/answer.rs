//! Answers of the host as rows of a table.

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{table::table, when::when};

/// A value as a cell: text as it is, other values as JSON, and `-` if it is missing.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".into(),
        Some(other) => other.to_string(),
    }
}

/// The cell of a field of `object`.
pub(super) fn field(object: &Value, name: &str) -> String {
    cell(object.get(name))
}

pub(super) fn yes(it_is: bool) -> String {
    if it_is { "yes".into() } else { "no".into() }
}

/// Such as `1 execution` and `2 executions`.
pub(super) fn executions(count: u64) -> String {
    if count == 1 { "1 execution".into() } else { format!("{count} executions") }
}

/// An answer as the API's type of it.
pub(super) fn typed<T: DeserializeOwned>(answer: &Value) -> anyhow::Result<T> {
    serde_json::from_value(answer.clone()).context("the host's answer is unknown to this version of switchbox")
}

/// The cell of a value that may be missing.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// The items of a list in an answer; empty if there is no such list.
pub(super) fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A table of a list in an answer. Each column has its heading, and the JSON pointer of its cell in an item. The API's names of
/// times end with `ime`.
pub(super) fn list(answer: &Value, name: &str, columns: &[(&str, &str)]) -> String {
    let row = |item: &Value| {
        let cell = |at: &str| match at.ends_with("ime") {
            true => when(cell(item.pointer(at))),
            false => cell(item.pointer(at)),
        };
        columns.iter().map(|(_, at)| cell(at)).collect()
    };
    let rows: Vec<Vec<_>> = items(answer, name).iter().map(row).collect();
    let head: Vec<_> = columns.iter().map(|(head, _)| *head).collect();
    table(&head, &rows)
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_execution_is_no_plural() {
        assert_eq!([0, 1, 2].map(super::executions), ["0 executions", "1 execution", "2 executions"]);
    }
}
