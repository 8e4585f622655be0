//! Documents with other white space. Every number, string and name keeps its bytes.

use crate::json::value::{Kind, Value};

/// On one line, without white space.
#[must_use]
pub fn compact(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.text.len());
    write(&mut out, value, None);
    out
}

/// With each member and item on a line of its own.
#[must_use]
pub fn pretty(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.text.len() * 2);
    write(&mut out, value, Some(0));
    out
}

/// `level`: the depth of this value, for its indentation. With `None` everything is on one line.
fn write(out: &mut String, value: &Value<'_>, level: Option<usize>) {
    let inside = level.map(|level| level + 1);
    match &value.kind {
        Kind::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                new_line(out, inside);
                write(out, item, inside);
            }
            new_line(out, level);
            out.push(']');
        }
        Kind::Object(object) if !object.members().is_empty() => {
            for (index, member) in object.members().iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                new_line(out, inside);
                out.push_str(member.key_text);
                out.push_str(if level.is_some() { ": " } else { ":" });
                write(out, &member.value, inside);
            }
            new_line(out, level);
            out.push('}');
        }
        Kind::Array(_) => out.push_str("[]"),
        Kind::Object(_) => out.push_str("{}"),
        _ => out.push_str(value.text),
    }
}

fn new_line(out: &mut String, level: Option<usize>) {
    if let Some(level) = level {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    }
}
