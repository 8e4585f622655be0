//! Reads Rust source without a parser: what is left of a text when its comments, its literals or its tests are blanked. Every
//! line keeps its place and its length.

/// The code of a text: comments, strings and characters are blanked.
pub fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let in_name = code.ends_with(is_of_name);
        let blanked = blanked_length(rest, in_name);
        let (piece, after) = rest.split_at(if blanked == 0 { c.len_utf8() } else { blanked });
        if blanked == 0 {
            code.push(c);
        } else {
            blank(piece, &mut code);
        }
        rest = after;
    }
    code
}

pub fn is_of_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Spaces for what the piece has, with its line ends.
fn blank(piece: &str, code: &mut String) {
    code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
}

/// How many bytes the comment or the literal has that begins here. Returns 0 if none begins here. Within a name, `r` and `b` begin no string.
fn blanked_length(text: &str, in_name: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    let prefix = text.find(|c: char| !"bcr".contains(c)).unwrap_or(text.len());
    let literal = &text[prefix..];
    if in_name && prefix > 0 || prefix > 2 {
        return 0;
    }
    if text[..prefix].ends_with('r') {
        return raw_string(literal).map_or(0, |length| prefix + length);
    }
    if literal.starts_with('"') {
        return prefix + quoted(literal, '"');
    }
    if literal.starts_with('\'') && !is_lifetime(literal) {
        return prefix + quoted(literal, '\'');
    }
    0
}

/// The length of a block comment, with those inside of it.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    for (at, _) in text.match_indices(['/', '*']) {
        match text.get(at..at + 2) {
            Some("/*") => depth += 1,
            Some("*/") if depth == 1 => return at + 2,
            Some("*/") => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `#"…"#`, or `None` if no string begins here.
fn raw_string(text: &str) -> Option<usize> {
    let inside = text.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(text.len() - inside.len()));
    let body = inside.strip_prefix('"')?;
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `'a` is a lifetime, `'a'` and `'\n'` are characters.
fn is_lifetime(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next().is_some_and(is_of_name) && chars.next() != Some('\'')
}

/// Code without what is compiled for tests only: each item after `#[cfg(test)]` is blanked.
pub fn without_tests(code: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(code.len()), code);
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        blank("#[cfg(test)]", &mut kept);
        let (item, after) = item.split_at(item_length(item));
        blank(item, &mut kept);
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// How many bytes the item has that begins here: up to its `;`, or to the end of its block.
pub fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// How many bytes the parentheses have that begin here, with what is in them.
pub fn parenthesis_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth <= 1 => return at + 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_and_literals_are_blanked_and_nothing_else() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("f(\"{\\\"\", '{', '\\'', b'x')", "f(     ,    ,     ,     )"),
        ("r#\"a\"b\"# + br\"\\\" + c", "         +       + c"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("letter(bar, 'static)", "letter(bar, 'static)"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}

#[test]
fn what_is_for_tests_alone_is_blanked() {
    let text = "use a;\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n#[cfg(test)] use b;\nfn g() {}";
    let kept = without_tests(text);
    assert_eq!(kept.split_whitespace().collect::<String>(), "usea;fng(){}");
    assert_eq!(kept.lines().count(), text.lines().count());
}
