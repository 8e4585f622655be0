//! Conditions of WHERE, and their evaluation for a twin. There are three truth values: a condition that is undefined is neither
//! true nor false, and it selects no device.

use serde_json::Value;

use crate::{
    path::{NeededDocuments, Path},
    value::{Comparison, equal},
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Path(Path),
    Constant(Value),
    Undefined,
}

impl Operand {
    fn of<'v>(&'v self, twin: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Path(path) => path.of(twin),
            Self::Constant(value) => Some(value),
            Self::Undefined => None,
        }
    }

    fn needs(&self) -> NeededDocuments {
        match self {
            Self::Path(path) => path.needs(),
            Self::Constant(_) | Self::Undefined => NeededDocuments::default(),
        }
    }
}

/// A function that tests the type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Defined,
    Null,
    Bool,
    Number,
    String,
    Object,
    Array,
    Primitive,
}

impl Kind {
    fn holds(self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return false };
        match self {
            Self::Defined => true,
            Self::Null => value.is_null(),
            Self::Bool => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::String => value.is_string(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Primitive => !value.is_object() && !value.is_array(),
        }
    }
}

/// A function of two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Compare(Operand, Comparison, Operand),
    /// The operator is NIN if it is `negated`, else IN.
    In {
        operand: Operand,
        list: Vec<Value>,
        negated: bool,
    },
    Is(Kind, Operand),
    Text(Text, Operand, Operand),
    /// A value that is used as a condition: a boolean.
    Value(Operand),
}

impl Condition {
    /// Evaluates the condition. Returns `None` if it is undefined.
    pub(crate) fn holds(&self, twin: &Value) -> Option<bool> {
        match self {
            Self::And(all) => fold(all, twin, false),
            Self::Or(any) => fold(any, twin, true),
            Self::Not(condition) => condition.holds(twin).map(|holds| !holds),
            Self::Compare(one, comparison, other) => comparison.of(one.of(twin)?, other.of(twin)?),
            Self::In { operand, list, negated } => {
                let value = operand.of(twin)?;
                Some(list.iter().any(|listed| equal(listed, value)) != *negated)
            }
            Self::Is(kind, operand) => Some(kind.holds(operand.of(twin))),
            Self::Text(text, one, other) => {
                let (one, other) = (one.of(twin)?.as_str()?, other.of(twin)?.as_str()?);
                Some(match text {
                    Text::StartsWith => one.starts_with(other),
                    Text::EndsWith => one.ends_with(other),
                    Text::Contains => one.contains(other),
                })
            }
            Self::Value(operand) => operand.of(twin)?.as_bool(),
        }
    }

    pub(crate) fn needs(&self) -> NeededDocuments {
        match self {
            Self::And(all) | Self::Or(all) => {
                all.iter().fold(NeededDocuments::default(), |needs, condition| needs.and(condition.needs()))
            }
            Self::Not(condition) => condition.needs(),
            Self::Compare(one, _, other) | Self::Text(_, one, other) => one.needs().and(other.needs()),
            Self::In { operand, .. } | Self::Is(_, operand) | Self::Value(operand) => operand.needs(),
        }
    }
}

/// Evaluates OR (`decides` is true) or AND (`decides` is false): one condition with the value `decides` determines the result.
fn fold(conditions: &[Condition], twin: &Value, decides: bool) -> Option<bool> {
    let mut defined = true;
    for condition in conditions {
        match condition.holds(twin) {
            Some(holds) if holds == decides => return Some(decides),
            Some(_) => {}
            None => defined = false,
        }
    }
    defined.then_some(!decides)
}
