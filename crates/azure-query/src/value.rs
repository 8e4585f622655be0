//! Comparison of values of twins and constants. Values of different types are not comparable: the result is undefined.

use std::cmp::Ordering;

use serde_json::{Number, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Returns `None` if the result is undefined, because the two have different types or no order.
    pub(crate) fn of(self, one: &Value, other: &Value) -> Option<bool> {
        if matches!(self, Self::Equal | Self::NotEqual) {
            return same_type(one, other).then(|| equal(one, other) == (self == Self::Equal));
        }
        let order = match (one, other) {
            (Value::Number(one), Value::Number(other)) => order(one, other)?,
            (Value::String(one), Value::String(other)) => one.cmp(other),
            _ => return None,
        };
        Some(match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            _ => order.is_ge(),
        })
    }
}

fn same_type(one: &Value, other: &Value) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// Compares numbers by value, everything else as JSON.
pub(crate) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => order(one, other) == Some(Ordering::Equal),
        _ => one == other,
    }
}

/// Compares integers exactly.
fn order(one: &Number, other: &Number) -> Option<Ordering> {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}
