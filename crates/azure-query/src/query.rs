//! A parsed and checked query.

use serde_json::{Map, Value};

use crate::{
    condition::Condition,
    group::Groups,
    path::{NeededDocuments, Path},
    select::{Item, Select, SelectedValue},
};

/// A query over `devices`.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub(crate) select: Select,
    pub(crate) top: Option<usize>,
    pub(crate) condition: Option<Condition>,
    pub(crate) group: Vec<Path>,
}

impl Query {
    /// Whether its rows are whole twins.
    #[must_use]
    pub fn is_of_twins(&self) -> bool {
        self.select == Select::All
    }

    /// The maximum number of rows. `None` if TOP is not given.
    #[must_use]
    pub fn top(&self) -> Option<usize> {
        self.top
    }

    /// The parts of a twin that the query tests or selects.
    #[must_use]
    pub fn needs(&self) -> NeededDocuments {
        let condition = self.condition.as_ref().map_or_else(NeededDocuments::default, Condition::needs);
        condition.and(self.shows())
    }

    /// The parts of a twin that the query tests.
    #[must_use]
    pub fn needs_to_match(&self) -> NeededDocuments {
        self.condition.as_ref().map_or_else(NeededDocuments::default, Condition::needs)
    }

    fn shows(&self) -> NeededDocuments {
        let Select::Items(items) = &self.select else { return NeededDocuments::ALL };
        items.iter().fold(NeededDocuments::default(), |needs, item| match &item.what {
            SelectedValue::Path(path) => needs.and(path.needs()),
            SelectedValue::Count => needs,
        })
    }

    #[must_use]
    pub fn matches(&self, twin: &Value) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(twin) == Some(true))
    }

    /// The row for a twin that matches. Undefined values are left out.
    #[must_use]
    pub fn row(&self, twin: Value) -> Value {
        let Select::Items(items) = &self.select else { return twin };
        let value = |item: &Item| match &item.what {
            SelectedValue::Path(path) => Some((item.name.clone(), path.of(&twin)?.clone())),
            SelectedValue::Count => None,
        };
        Value::Object(items.iter().filter_map(value).collect::<Map<_, _>>())
    }

    /// The counter for a query with COUNT() or GROUP BY. `None` for any other query.
    #[must_use]
    pub fn groups(&self) -> Option<Groups<'_>> {
        let Select::Items(items) = &self.select else { return None };
        let counts = items.iter().any(|item| item.what == SelectedValue::Count);
        (counts || !self.group.is_empty()).then(|| Groups::new(items, &self.group))
    }
}
