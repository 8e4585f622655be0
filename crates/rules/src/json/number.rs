//! Numbers as they are written, compared by value at any size.

/// A JSON number, taken apart: its value is ±0.d₁d₂… × 10^`exponent`, where the digits neither begin nor end with 0.
#[derive(Debug, Clone, Copy)]
struct Decimal<'a> {
    negative: bool,
    /// The digits before and after the point. Together, without the zeros at both ends, they are the digits of the value.
    whole: &'a str,
    fraction: &'a str,
    /// Zeros at the beginning of the digits, and how many digits there are after them up to the last that is not 0.
    skip: usize,
    take: usize,
    exponent: Exponent<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exponent<'a> {
    Exact(i128),
    /// It has too many digits for a number, so it is compared as text, together with the position of the decimal point.
    Huge {
        text: &'a str,
        negative: bool,
        point: usize,
    },
}

/// Digits of an exponent that is computed with.
const EXPONENT_DIGITS: usize = 30;

impl<'a> Decimal<'a> {
    /// `text` is a valid JSON number. Takes time in proportion to its length, whatever its exponent says.
    fn new(text: &'a str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut decimal = Self { negative, whole, fraction, skip: 0, take: 0, exponent: Exponent::Exact(0) };
        let all = whole.len() + fraction.len();
        decimal.skip = decimal.all().take_while(|digit| *digit == b'0').count();
        if decimal.skip == all {
            return Self { negative: false, ..decimal };
        }
        decimal.take = all - decimal.skip - decimal.all().rev().take_while(|digit| *digit == b'0').count();
        decimal.exponent = decimal.scaled(exponent);
        decimal
    }

    /// With the point before the first digit that counts.
    fn scaled(&self, exponent: &'a str) -> Exponent<'a> {
        let (negative, digits) = match exponent.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
        };
        let digits = digits.trim_start_matches('0');
        if digits.len() > EXPONENT_DIGITS {
            return Exponent::Huge { text: digits, negative, point: self.whole.len().wrapping_sub(self.skip) };
        }
        let written = digits.bytes().fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let written = if negative { -written } else { written };
        Exponent::Exact(written + self.whole.len() as i128 - self.skip as i128)
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = u8> + 'a {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.all().skip(self.skip).take(self.take)
    }

    fn is_whole(&self) -> bool {
        match self.exponent {
            Exponent::Exact(exponent) => exponent >= self.take as i128,
            Exponent::Huge { negative, .. } => !negative,
        }
    }
}

/// Whether two valid JSON numbers have the same value: 21, 21.0, 2.1e1 and 210E-1 do, as do 0 and -0.
pub(crate) fn same(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (one, other) = (Decimal::new(one), Decimal::new(other));
    one.negative == other.negative
        && one.take == other.take
        && one.exponent == other.exponent
        && one.digits().eq(other.digits())
}

/// Whether the number has no fraction, however it is written.
pub(crate) fn is_whole(text: &str) -> bool {
    Decimal::new(text).is_whole()
}
