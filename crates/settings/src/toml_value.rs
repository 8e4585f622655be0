//! Values of settings as TOML has them: each kind of setting has its type. Pure.

use super::keys::Kind;

/// A value of the file, in the format of the environment. Returns `None` if its type is not that of the setting.
pub(super) fn text_of(kind: Kind, value: &toml::Value) -> Option<String> {
    match (kind, value) {
        (Kind::Text(_) | Kind::List(_) | Kind::Size | Kind::Duration, toml::Value::String(text)) => Some(text.clone()),
        (Kind::List(_), toml::Value::Array(items)) => {
            // An item with a comma would be read as two.
            let item = |item: &toml::Value| item.as_str().filter(|text| !text.contains(',')).map(str::to_owned);
            Some(items.iter().map(item).collect::<Option<Vec<_>>>()?.join(","))
        }
        (Kind::Number | Kind::Size | Kind::Ratio, toml::Value::Integer(number)) => Some(number.to_string()),
        (Kind::Ratio, toml::Value::Float(number)) => Some(number.to_string()),
        (Kind::Switch, toml::Value::Boolean(on)) => Some(on.to_string()),
        _ => None,
    }
}

/// A value as it is written in the settings file. A kind of value that settings do not have becomes a text, which is refused.
pub(super) fn in_file(kind: Kind, text: &str) -> String {
    let quoted = || toml::Value::String(text.to_owned()).to_string();
    match kind {
        Kind::Number | Kind::Size if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
            text.to_owned()
        }
        Kind::Ratio => match text.parse::<f64>() {
            Ok(ratio) if ratio.is_finite() => format!("{ratio:?}"),
            _ => quoted(),
        },
        Kind::Switch if text == "true" || text == "false" => text.to_owned(),
        Kind::List(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect()).to_string()
        }
        _ => quoted(),
    }
}
