//! Whether values are equal, and whether one contains another.

use crate::json::{
    number,
    value::{Kind, Member, Object, Value},
};

/// How much two numbers may differ and still count as equal, relative to the larger one. Different integers never count as equal:
/// they are often ids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance(f64);

impl Tolerance {
    /// Numbers are equal only if they have the same value.
    pub const EXACT: Self = Self(0.0);
    /// Where one number went through 32-bit floating point: those have 24 bits.
    pub const FLOAT32: Self = Self(1.2e-7);

    /// What of the larger number the two may be apart: from 0 up to 1, such as `1e-6`.
    pub fn new(relative: f64) -> Option<Self> {
        (0.0..1.0).contains(&relative).then_some(Self(relative))
    }

    fn allows(self, one: &str, other: &str) -> bool {
        if self.0 == 0.0 || (number::is_whole(one) && number::is_whole(other)) {
            return false;
        }
        match (one.parse::<f64>(), other.parse::<f64>()) {
            (Ok(one), Ok(other)) if one.is_finite() && other.is_finite() => {
                (one - other).abs() <= self.0 * one.abs().max(other.abs())
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Tolerance {
    type Err = InvalidTolerance;

    fn from_str(text: &str) -> Result<Self, InvalidTolerance> {
        if text == "float32" {
            return Ok(Self::FLOAT32);
        }
        text.parse().ok().and_then(Self::new).ok_or(InvalidTolerance)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tolerance is a number from 0 up to 1, such as 1e-6 for a millionth of the larger number, or float32")]
pub struct InvalidTolerance;

/// Whether both are equal: numbers by value, strings by their characters, objects without regard to order.
#[must_use]
pub fn same(one: &Value<'_>, other: &Value<'_>, tolerance: Tolerance) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Bool(a), Kind::Bool(b)) => a == b,
        (Kind::Number, Kind::Number) => number::same(one.text, other.text) || tolerance.allows(one.text, other.text),
        (Kind::String(a), Kind::String(b)) => a == b,
        (Kind::Array(a), Kind::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, tolerance)),
        (Kind::Object(a), Kind::Object(b)) => same_members(a, b, tolerance),
        _ => false,
    }
}

fn same_members(one: &Object<'_>, other: &Object<'_>, tolerance: Tolerance) -> bool {
    let same_member = |(a, b): (&Member<'_>, &Member<'_>)| a.key == b.key && same(&a.value, &b.value, tolerance);
    one.count() == other.count() && one.sorted().zip(other.sorted()).all(same_member)
}

/// Whether a value fulfils another: they are equal, except that an object may have further members.
#[must_use]
pub fn fulfils(desired: &Value<'_>, is: Option<&Value<'_>>, tolerance: Tolerance) -> bool {
    let Some(is) = is else { return false };
    match (&desired.kind, &is.kind) {
        (Kind::Object(desired), Kind::Object(is)) => {
            desired.sorted().all(|member| fulfils(&member.value, is.get(&member.key), tolerance))
        }
        _ => same(desired, is, tolerance),
    }
}
