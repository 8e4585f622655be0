//! Checks the encoding of AMQP 1.0 values (part 1 of the standard) without decoding them: where each value ends, and that it is complete.

/// Maximum nesting of values. Messages of the public SDKs have five levels.
pub(crate) const DEPTH: usize = 32;

/// Why bytes are not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a value is cut off")]
    Cut,
    #[error("there is no type {0:#04x}")]
    Type(u8),
    #[error("the size of a list, a map or an array does not fit its items")]
    Size,
    #[error("values are nested more than {DEPTH} deep")]
    Depth,
}

const DESCRIBED: u8 = 0x00;
pub(crate) const NULL: u8 = 0x40;
const LIST_0: u8 = 0x45;

/// Returns the bytes after the value that begins here.
pub(crate) fn skip(bytes: &[u8]) -> Result<&[u8], Malformed> {
    value(bytes, DEPTH)
}

fn value(bytes: &[u8], depth: usize) -> Result<&[u8], Malformed> {
    let (code, rest) = bytes.split_first().ok_or(Malformed::Cut)?;
    if *code == DESCRIBED {
        let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
        return value(value(rest, depth)?, depth);
    }
    of_type(*code, rest, depth)
}

/// Returns the bytes after a value of this type, whose type was already read.
fn of_type(code: u8, bytes: &[u8], depth: usize) -> Result<&[u8], Malformed> {
    if let Some(width) = fixed_width(code) {
        return Ok(cut(bytes, width)?.1);
    }
    match code {
        0xa0 | 0xa1 | 0xa3 | 0xb0 | 0xb1 | 0xb3 => {
            let (size, rest) = number(bytes, wide(code))?;
            Ok(cut(rest, size)?.1)
        }
        0xc0 | 0xc1 | 0xd0 | 0xd1 => {
            let (count, items, after) = compound(code, bytes)?;
            let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
            let mut left = items;
            // Each item takes at least one byte, so the loop ends.
            for _ in 0..count {
                left = value(left, depth)?;
            }
            let is_map = code & 1 == 1;
            if left.is_empty() && !(is_map && count % 2 == 1) { Ok(after) } else { Err(Malformed::Size) }
        }
        0xe0 | 0xf0 => {
            let (count, items, after) = compound(code, bytes)?;
            let depth = depth.checked_sub(1).ok_or(Malformed::Depth)?;
            array(count, items, depth)?;
            Ok(after)
        }
        other => Err(Malformed::Type(other)),
    }
}

/// The items of an array have one type, which comes first.
fn array(count: usize, bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    if count == 0 {
        return if bytes.is_empty() { Ok(()) } else { Err(Malformed::Size) };
    }
    let (mut code, mut left) = bytes.split_first().ok_or(Malformed::Cut)?;
    if *code == DESCRIBED {
        left = value(left, depth)?;
        (code, left) = left.split_first().ok_or(Malformed::Cut)?;
    }
    match fixed_width(*code) {
        // Items without bytes would permit a count without bound.
        Some(0) => return Err(Malformed::Size),
        Some(width) => left = cut(left, count.checked_mul(width).ok_or(Malformed::Cut)?)?.1,
        None => {
            for _ in 0..count {
                left = of_type(*code, left, depth)?;
            }
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Malformed::Size) }
}

/// The size of the values of this type. Returns `None` if each value has its own.
fn fixed_width(code: u8) -> Option<usize> {
    match code {
        NULL..=LIST_0 => Some(0),
        0x50..=0x56 => Some(1),
        0x60 | 0x61 => Some(2),
        0x70..=0x74 => Some(4),
        0x80..=0x84 => Some(8),
        0x94 | 0x98 => Some(16),
        _ => None,
    }
}

/// Returns whether sizes and counts of this type are four bytes, not one.
fn wide(code: u8) -> bool {
    code & 0x10 != 0
}

/// The number of items, their bytes, and the bytes after them.
fn compound(code: u8, bytes: &[u8]) -> Result<(usize, &[u8], &[u8]), Malformed> {
    let (size, rest) = number(bytes, wide(code))?;
    let (all, after) = cut(rest, size)?;
    // The count is within the size.
    let (count, items) = number(all, wide(code)).map_err(|_| Malformed::Size)?;
    Ok((count, items, after))
}

fn number(bytes: &[u8], wide: bool) -> Result<(usize, &[u8]), Malformed> {
    if wide {
        let (number, rest) = bytes.split_first_chunk::<4>().ok_or(Malformed::Cut)?;
        return Ok((usize::try_from(u32::from_be_bytes(*number)).map_err(|_| Malformed::Cut)?, rest));
    }
    let (number, rest) = bytes.split_first().ok_or(Malformed::Cut)?;
    Ok((usize::from(*number), rest))
}

fn cut(bytes: &[u8], size: usize) -> Result<(&[u8], &[u8]), Malformed> {
    bytes.split_at_checked(size).ok_or(Malformed::Cut)
}

/// A list, split into its items.
pub(crate) struct List<'a> {
    pub(crate) items: Vec<&'a [u8]>,
    /// The bytes that follow the list.
    pub(crate) after: &'a [u8],
}

/// The list that begins here, with at most this many of its items. Returns `None` if it is not a list.
pub(crate) fn list(bytes: &[u8], most: usize) -> Result<Option<List<'_>>, Malformed> {
    let after = skip(bytes)?;
    let Some((&code @ (LIST_0 | 0xc0 | 0xd0), rest)) = bytes.split_first() else { return Ok(None) };
    let mut items = Vec::new();
    if code != LIST_0 {
        let (count, mut left, _) = compound(code, rest)?;
        for _ in 0..count.min(most) {
            let next = skip(left)?;
            items.push(left.get(..left.len() - next.len()).unwrap_or_default());
            left = next;
        }
    }
    Ok(Some(List { items, after }))
}

/// One item of the list that begins here. Returns `None` if it is not there.
pub(crate) fn item(bytes: &[u8], index: usize) -> Option<&[u8]> {
    let (&code @ (0xc0 | 0xd0), rest) = bytes.split_first()? else { return None };
    let (count, mut left, _) = compound(code, rest).ok()?;
    if index >= count {
        return None;
    }
    for _ in 0..index {
        left = skip(left).ok()?;
    }
    let after = skip(left).ok()?;
    left.get(..left.len() - after.len())
}

/// A `uint`. Returns `None` for any other value.
pub(crate) fn uint(value: &[u8]) -> Option<u32> {
    match value {
        [0x43] => Some(0),
        [0x52, number] => Some(u32::from(*number)),
        [0x70, number @ ..] => Some(u32::from_be_bytes(number.try_into().ok()?)),
        _ => None,
    }
}

/// A `boolean`. Null means the default, which is false for all fields that are read.
pub(crate) fn is_true(value: &[u8]) -> bool {
    matches!(value, [0x41] | [0x56, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_skipped_as_a_whole() {
        for whole in [
            &[0x40][..],
            &[0x45],
            &[0x56, 1],
            &[0x60, 1, 2],
            &[0x70, 1, 2, 3, 4],
            &[0xa1, 2, b'o', b'k'],
            &[0xb1, 0, 0, 0, 1, b'x'],
            &[0xc0, 3, 2, 0x40, 0x41],
            &[0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x45],
            &[0xc1, 6, 2, 0xa1, 1, b'k', 0x52, 7],
            &[0xe0, 4, 2, 0x50, 1, 2],
            &[0xf0, 0, 0, 0, 9, 0, 0, 0, 2, 0xa3, 1, b'a', 1, b'b'],
            &[0x00, 0x53, 0x70, 0xc0, 2, 1, 0x41],
            &[0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x70, 0x45],
        ] {
            assert_eq!(skip(&[whole, &[0xff]].concat()), Ok(&[0xff][..]), "{whole:x?}");
            for cut in 0..whole.len() {
                assert_eq!(skip(&whole[..cut]), Err(Malformed::Cut), "{:x?}", &whole[..cut]);
            }
        }
    }

    #[test]
    fn an_item_is_found_if_it_is_there() {
        let short = [0xc0, 6, 3, 0x52, 7, 0x40, 0x56, 1];
        let long = [&[0xd0, 0, 0, 0, 9, 0, 0, 0, 3][..], &short[3..]].concat();
        for list in [&short[..], &long] {
            assert_eq!(
                [0, 1, 2, 3].map(|index| item(list, index)),
                [Some(&[0x52, 7][..]), Some(&[0x40]), Some(&[0x56, 1]), None]
            );
        }
        assert_eq!([item(&[LIST_0], 0), item(&[0x41], 0), item(&[], 0), item(&short[..5], 2)], [None; 4]);
    }

    #[test]
    fn sizes_that_lie_and_nests_without_end_are_no_values() {
        for (wrong, why) in [
            (&[0xc0, 0][..], Malformed::Size),
            (&[0xd0, 0, 0, 0, 3, 0, 0, 0], Malformed::Size),
            (&[0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], Malformed::Cut),
            (&[0xc0, 2, 0, 0x40], Malformed::Size),
            (&[0xc0, 2, 2, 0x40, 0x40], Malformed::Cut),
            (&[0xc1, 2, 1, 0x40], Malformed::Size),
            (&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40], Malformed::Size),
            (&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x84], Malformed::Cut),
            (&[0x46], Malformed::Type(0x46)),
        ] {
            assert_eq!(skip(wrong), Err(why), "{wrong:x?}");
        }
        let described = |deep: usize| [&[0, 0x40].repeat(deep)[..], &[0x40]].concat();
        assert_eq!(skip(&described(DEPTH)), Ok(&[][..]));
        assert_eq!(skip(&described(DEPTH + 1)), Err(Malformed::Depth));
        assert_eq!(skip(&described(1_000_000)), Err(Malformed::Depth));
        assert_eq!(skip(&[0; 1_000_000]), Err(Malformed::Depth));
    }
}
