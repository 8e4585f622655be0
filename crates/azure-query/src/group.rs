//! COUNT() and GROUP BY: the number of twins in each group.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    bounds::MAX_GROUPS,
    error::QueryError,
    path::Path,
    select::{Item, SelectedValue},
};

/// Groups with their numbers of twins. Stores the values of each group's paths, and no twins.
#[derive(Debug)]
pub struct Groups<'q> {
    items: &'q [Item],
    by: &'q [Path],
    found: BTreeMap<String, Group>,
}

#[derive(Debug)]
struct Group {
    values: Vec<Option<Value>>,
    twins: u64,
}

impl<'q> Groups<'q> {
    pub(crate) fn new(items: &'q [Item], by: &'q [Path]) -> Self {
        Self { items, by, found: BTreeMap::new() }
    }

    /// Adds a twin that the query matches.
    pub fn add(&mut self, twin: &Value) -> Result<(), QueryError> {
        let values: Vec<_> = self.by.iter().map(|path| path.of(twin)).collect();
        let key = key(&values);
        if let Some(group) = self.found.get_mut(&key) {
            group.twins += 1;
            return Ok(());
        }
        if self.found.len() >= MAX_GROUPS {
            return Err(QueryError::too_much(None, format!("GROUP BY makes more than {MAX_GROUPS} groups")));
        }
        let values = values.into_iter().map(|value| value.cloned()).collect();
        self.found.insert(key, Group { values, twins: 1 });
        Ok(())
    }

    /// One row for each group. A count without GROUP BY has one row, even if no twin matches.
    #[must_use]
    pub fn rows(mut self) -> Vec<Value> {
        if self.by.is_empty() {
            self.found.entry(key(&[])).or_insert(Group { values: Vec::new(), twins: 0 });
        }
        self.found.values().map(|group| self.row(group)).collect()
    }

    fn row(&self, group: &Group) -> Value {
        let value = |item: &Item| match &item.what {
            SelectedValue::Count => Some(group.twins.into()),
            SelectedValue::Path(path) => {
                let index = self.by.iter().position(|by| by == path)?;
                group.values.get(index)?.clone()
            }
        };
        let columns = self.items.iter().filter_map(|item| Some((item.name.clone(), value(item)?)));
        Value::Object(columns.collect::<Map<_, _>>())
    }
}

/// An undefined value forms a group of its own, apart from null. JSON has no line breaks outside of strings, where they are
/// escaped, so a line break can separate the values.
fn key(values: &[Option<&Value>]) -> String {
    values.iter().map(|value| value.map_or_else(String::new, Value::to_string) + "\n").collect()
}
