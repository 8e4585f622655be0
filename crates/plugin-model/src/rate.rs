//! A rate and its text form: `10/s`, `100/m`, `5/h`, `unlimited`. Pure.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A count per time, or unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rate {
    Unlimited,
    /// `count` is not 0.
    Of {
        count: u32,
        per: Duration,
    },
}

const UNLIMITED: &str = "unlimited";
const PERIODS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

impl Rate {
    /// A rate per second; 0 counts as 1.
    #[must_use]
    pub const fn per_second(count: u32) -> Self {
        Self::Of { count: if count == 0 { 1 } else { count }, per: Duration::from_secs(1) }
    }

    /// Twice as much. Returns `None` if the rate is unlimited.
    #[must_use]
    pub fn doubled(self) -> Option<Self> {
        match self {
            Self::Unlimited => None,
            Self::Of { count, per } => {
                Some(count.checked_mul(2).map_or(Self::Unlimited, |count| Self::Of { count, per }))
            }
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (count, per) = text.split_once('/')?;
            let (_, seconds) = PERIODS.iter().find(|(name, _)| *name == per.trim())?;
            let count = count.trim().parse().ok().filter(|count| *count > 0)?;
            Some(Self::Of { count, per: Duration::from_secs(*seconds) })
        };
        if text.trim() == UNLIMITED {
            return Ok(Self::Unlimited);
        }
        parse().ok_or_else(|| format!("{text:?} is not a rate; write it as 10/s, 100/m, 1000/h or unlimited"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str(UNLIMITED),
            Self::Of { count, per } => {
                let unit = PERIODS.iter().find(|(_, seconds)| *seconds == per.as_secs()).map_or("s", |(name, _)| name);
                write!(f, "{count}/{unit}")
            }
        }
    }
}

impl TryFrom<String> for Rate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_they_are_read() {
        for text in ["10/s", "100/m", "5/h", "unlimited"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["", "10", "0/s", "10/d", "x/s", "Unlimited"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
