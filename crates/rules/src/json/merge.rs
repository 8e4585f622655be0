//! JSON merge patch (RFC 7396) as an edit of the text: the result is the document with the named members replaced, added
//! or cut out, and every other byte where it was.

use std::ops::Range;

use crate::json::{
    compare::{Tolerance, same},
    parse::{self, Invalid},
    value::{Kind, Member, Object, Value},
};

/// Why a patch is not taken; the texts say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("a patch must be a JSON object, such as {{\"on\": true}}: it is empty")]
    Empty,
    #[error("a patch must be a JSON object, such as {{\"on\": true}}: {0}")]
    Patch(Invalid),
    #[error("desired cannot be patched, because it is not a JSON object ({0}): set a whole config first")]
    Desired(Invalid),
    #[error("desired would have {bytes} bytes with this patch, at most {limit} are allowed")]
    TooLarge { bytes: usize, limit: usize },
}

/// The document after the patch, at most `limit` bytes. `None` when the patch changes nothing: each member that it names has that value
/// already (a number may be written in another way), or is missing already if the patch has null. An empty document counts as `{}`.
pub fn patched(document: &[u8], patch: &[u8], limit: usize) -> Result<Option<String>, PatchError> {
    if patch.trim_ascii().is_empty() {
        return Err(PatchError::Empty);
    }
    let patch = parse::object(patch).map_err(PatchError::Patch)?;
    let document = if document.trim_ascii().is_empty() { b"{}" } else { document };
    let target = parse::parse(document).map_err(PatchError::Desired)?;
    let target_object = match &target.kind {
        Kind::Object(object) => object,
        Kind::Array(_) => return Err(PatchError::Desired(Invalid::Array)),
        _ => return Err(PatchError::Desired(Invalid::Scalar)),
    };
    let mut edits = Vec::new();
    object(&target, target_object, &patch, &mut edits);
    if edits.is_empty() {
        return Ok(None);
    }
    // It is UTF-8, as it could be parsed.
    let merged = edited(std::str::from_utf8(document).unwrap_or_default(), edits);
    if merged.len() > limit {
        return Err(PatchError::TooLarge { bytes: merged.len(), limit });
    }
    Ok(Some(merged))
}

/// Bytes of the document that are replaced. The result is never deeper than document and patch are: what the patch puts into the
/// document is nested as deeply there as in the patch.
struct Edit {
    range: Range<usize>,
    text: String,
}

fn edited(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut out = String::with_capacity(text.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
    let mut at = 0;
    for Edit { range, text: new } in edits {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Collects the edits that a patch makes in one object of the document.
fn object(value: &Value<'_>, target: &Object<'_>, patch: &Object<'_>, edits: &mut Vec<Edit>) {
    let mut cut = vec![false; target.members().len()];
    let mut added = String::new();
    for change in counting(patch) {
        let null = matches!(change.value.kind, Kind::Null);
        let Some(position) = target.position(&change.key) else {
            if !null {
                added.push(',');
                write_member(&mut added, change);
            }
            continue;
        };
        for (at, (member, cut)) in target.members().iter().zip(&mut cut).enumerate() {
            if at == position && !null {
                replace(&member.value, &change.value, edits);
            } else if at == position || member.key == change.key {
                *cut = true;
            }
        }
    }
    cut_out(target.members(), &cut, edits);
    insert(value, target.members(), &cut, &added, edits);
}

/// The members that count, in the order of the text.
fn counting<'o, 'a>(object: &'o Object<'a>) -> impl Iterator<Item = &'o Member<'a>> {
    object.members().iter().enumerate().filter(|(at, member)| object.position(&member.key) == Some(*at)).map(|(_, m)| m)
}

/// Collects the edits that apply a member of a patch, which is not null, to a value.
fn replace(is: &Value<'_>, change: &Value<'_>, edits: &mut Vec<Edit>) {
    match (&is.kind, &change.kind) {
        (Kind::Object(target), Kind::Object(patch)) => object(is, target, patch, edits),
        _ if same(is, change, Tolerance::EXACT) => {}
        _ => {
            let mut text = String::new();
            write_value(&mut text, change);
            edits.push(Edit { range: is.start..is.end(), text });
        }
    }
}

/// Writes what a patch makes of nothing: an object without its nulls, everything else unchanged from the patch.
fn write_value(out: &mut String, value: &Value<'_>) {
    let Kind::Object(object) = &value.kind else { return out.push_str(value.text) };
    out.push('{');
    let named = counting(object).filter(|member| !matches!(member.value.kind, Kind::Null));
    for (index, member) in named.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_member(out, member);
    }
    out.push('}');
}

fn write_member(out: &mut String, member: &Member<'_>) {
    out.push_str(member.key_text);
    out.push(':');
    write_value(out, &member.value);
}

/// Cuts members out, each with the comma that is then one too many.
fn cut_out(members: &[Member<'_>], cut: &[bool], edits: &mut Vec<Edit>) {
    // Up to the first member that stays: with the commas after them. The others: with the commas before them.
    let mut kept_one = false;
    let mut end_of_previous = 0;
    for ((member, cut), next) in members.iter().zip(cut).zip(members.iter().skip(1).map(Some).chain([None])) {
        let end = member.value.end();
        if *cut {
            let range = match (kept_one, next) {
                (true, _) => end_of_previous..end,
                (false, Some(next)) => member.start..next.start,
                (false, None) => member.start..end,
            };
            edits.push(Edit { range, text: String::new() });
        }
        kept_one |= !cut;
        end_of_previous = end;
    }
}

/// Adds members at the end of the object. `added`: each with a comma before it.
fn insert(value: &Value<'_>, members: &[Member<'_>], cut: &[bool], added: &str, edits: &mut Vec<Edit>) {
    if added.is_empty() {
        return;
    }
    let at = members.last().map_or(value.start + 1, |last| last.value.end());
    let text = if cut.iter().all(|cut| *cut) { added.get(1..).unwrap_or_default() } else { added };
    edits.push(Edit { range: at..at, text: text.to_owned() });
}
