//! The claims of a token: its audience and its time of validity. Pure.

use serde::Deserialize;
use serde_json::Value;

use super::error::JwtError;
use switchbox_model::limits::{TOKEN_LIFE_SECS, TOKEN_SKEW_SECS};

/// Past the year 9999 nothing is a time in seconds.
const LAST: f64 = 253_402_300_800.0;
/// Longest part of a wrong claim that the log shows.
const SHOWN_CHARS: usize = 40;

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
pub(super) struct Claims {
    aud: Option<Audience>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
}

impl Claims {
    /// When the token runs out, the skew allowed for. Milliseconds since the Unix epoch.
    pub(super) fn check(&self, audience: &str, now_ms: u64) -> Result<u64, JwtError> {
        self.check_audience(audience)?;
        let now = now_ms / 1_000;
        let issued = seconds(self.iat.as_ref(), "iat")?;
        let expires = seconds(self.exp.as_ref(), "exp")?;
        let not_before = self.nbf.as_ref().map_or(Ok(issued), |nbf| seconds(Some(nbf), "nbf"))?.max(issued);
        if not_before > now + TOKEN_SKEW_SECS {
            return Err(JwtError::NotYet(not_before - now));
        }
        if expires.saturating_add(TOKEN_SKEW_SECS) <= now {
            return Err(JwtError::Expired(now - expires));
        }
        match expires.checked_sub(issued) {
            Some(life) if life > TOKEN_LIFE_SECS => Err(JwtError::TooLong(life)),
            Some(_) => Ok((expires + TOKEN_SKEW_SECS) * 1_000),
            None => Err(JwtError::Expired(issued - expires)),
        }
    }

    fn check_audience(&self, audience: &str) -> Result<(), JwtError> {
        let found = match &self.aud {
            None => return Err(JwtError::Missing("aud")),
            Some(Audience::One(one)) if one == audience => return Ok(()),
            Some(Audience::Many(many)) if many.iter().any(|one| one == audience) => return Ok(()),
            Some(Audience::One(one)) => one.chars().take(80).collect(),
            Some(Audience::Many(_)) => "others".to_owned(),
        };
        Err(JwtError::Audience { found, expected: audience.to_owned() })
    }
}

/// A time of the token, whole seconds since the Unix epoch. A text that is a number counts as the number.
fn seconds(value: Option<&Value>, claim: &'static str) -> Result<u64, JwtError> {
    let value = value.filter(|value| !value.is_null()).ok_or(JwtError::Missing(claim))?;
    let wrong = |problem| {
        let value = value.to_string().chars().take(SHOWN_CHARS).collect();
        JwtError::Time { claim, value, problem }
    };
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim_ascii().parse::<f64>().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| wrong("it must be a number of seconds since 1970"))?;
    if (0.0..LAST).contains(&number) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        return Ok(number as u64);
    }
    // Milliseconds of a time from the year 1978 to 9999.
    let milliseconds = (LAST..LAST * 1_000.0).contains(&number);
    Err(wrong(if milliseconds {
        "this looks like milliseconds; it must be seconds"
    } else {
        "no time in seconds since 1970"
    }))
}
