//! The difference between two lists of lines. Pure.

/// Limit of the comparison; longer lists are shown as removed and added.
const CELLS: usize = 4_000_000;

/// The changed lines with `-` or `+`, and common lines between them with a blank. Common lines at both ends are left out.
pub(super) fn diff(old: &[String], new: &[String]) -> Vec<String> {
    let begin = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (old.get(begin..).unwrap_or_default(), new.get(begin..).unwrap_or_default());
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let old = old.get(..old.len() - end).unwrap_or_default();
    let new = new.get(..new.len() - end).unwrap_or_default();
    if old.len().saturating_mul(new.len()) > CELLS {
        let gone = old.iter().map(|line| format!("- {line}"));
        return gone.chain(new.iter().map(|line| format!("+ {line}"))).collect();
    }
    common(old, new)
}

/// The longest common subsequence.
fn common(old: &[String], new: &[String]) -> Vec<String> {
    let width = new.len() + 1;
    // The length of the longest common subsequence from each pair of positions on.
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let at = |lengths: &[u32], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, before) in old.iter().enumerate().rev() {
        for (j, after) in new.iter().enumerate().rev() {
            let length = if before == after {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i * width + j) {
                *cell = length;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(before), Some(after)) if before == after => {
                lines.push(format!("  {before}"));
                (i, j) = (i + 1, j + 1);
            }
            (Some(before), after) if after.is_none() || at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) => {
                lines.push(format!("- {before}"));
                i += 1;
            }
            (_, Some(after)) => {
                lines.push(format!("+ {after}"));
                j += 1;
            }
            _ => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_gone_and_new_are_shown_in_their_places() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (old, new, expected) in [
            ("a b c d", "a x c d", "- b|+ x"),
            ("a b c", "a b c", ""),
            ("a b c d e", "a c x d e", "- b|  c|+ x"),
            ("a", "a b", "+ b"),
        ] {
            assert_eq!(diff(&lines(old), &lines(new)).join("|"), expected, "{old} → {new}");
        }
    }
}
