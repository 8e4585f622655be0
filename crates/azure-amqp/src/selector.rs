//! Selector filters: comparisons of annotations, joined by AND. Selectors of the Event Hubs SDKs give the start position; those of
//! programs select events, for example those of one device.

/// Longest selector, bytes.
pub(crate) const MAX_BYTES: usize = 4 * 1024;
/// Comparisons that a selector may have.
const MAX_TERMS: usize = 16;
const PREFIX: &str = "amqp.annotation.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One comparison of an annotation with a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) annotation: String,
    pub(crate) comparison: Comparison,
    /// The constant without quotes.
    pub(crate) value: String,
}

impl Term {
    /// Numbers are compared as numbers, anything else as text.
    pub(crate) fn holds(&self, found: &str) -> bool {
        let order = match (found.parse::<i128>(), self.value.parse::<i128>()) {
            (Ok(found), Ok(value)) => found.cmp(&value),
            _ => found.cmp(self.value.as_str()),
        };
        match self.comparison {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error("a selector has at most {MAX_BYTES} bytes and {MAX_TERMS} comparisons")]
    TooMuch,
    #[error(
        "a selector is comparisons of amqp.annotation.NAME with a text or a number, joined by AND; {0:?} is not one"
    )]
    Term(String),
}

/// All comparisons of a selector.
pub(crate) fn parse(text: &str) -> Result<Vec<Term>, SelectorError> {
    if text.len() > MAX_BYTES {
        return Err(SelectorError::TooMuch);
    }
    let (mut terms, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        if terms.len() >= MAX_TERMS {
            return Err(SelectorError::TooMuch);
        }
        let (term, after) = term(rest).ok_or_else(|| SelectorError::Term(rest.chars().take(80).collect()))?;
        terms.push(term);
        rest = after.trim_start();
        if rest.is_empty() {
            break;
        }
        let and = rest.get(..3).filter(|word| word.eq_ignore_ascii_case("AND"));
        let after = and.and_then(|_| rest.get(3..)).filter(|after| after.starts_with(char::is_whitespace));
        rest = after.ok_or_else(|| SelectorError::Term(rest.chars().take(80).collect()))?.trim_start();
        if rest.is_empty() {
            return Err(SelectorError::Term(String::new()));
        }
    }
    Ok(terms)
}

fn term(text: &str) -> Option<(Term, &str)> {
    let name = text.trim_start_matches('"');
    let name = name.strip_prefix(PREFIX)?;
    let end = name.find(|c: char| c.is_whitespace() || "<>=!\"".contains(c))?;
    let (annotation, rest) = name.split_at(end);
    let rest = rest.trim_start_matches('"').trim_start();
    let signs = [
        ("<>", Comparison::NotEqual),
        ("!=", Comparison::NotEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        ("<", Comparison::Less),
        ("=", Comparison::Equal),
    ];
    let (rest, comparison) =
        signs.iter().find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)))?;
    let (value, rest) = constant(rest.trim_start())?;
    (!annotation.is_empty()).then(|| (Term { annotation: annotation.to_owned(), comparison, value }, rest))
}

/// A quoted text, in which a doubled quote means one quote, or the characters up to the next blank.
fn constant(text: &str) -> Option<(String, &str)> {
    let Some(inner) = text.strip_prefix('\'') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let (mut value, mut chars) = (String::new(), inner.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            value.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '\'') {
            chars.next();
            value.push('\'');
        } else {
            return inner.get(at + 1..).map(|rest| (value, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_clients_write_them() {
        let one = |text| parse(text).unwrap().pop().unwrap();
        for (text, annotation, comparison, value) in [
            ("amqp.annotation.x-opt-offset > '@latest'", "x-opt-offset", Comparison::Greater, "@latest"),
            ("amqp.annotation.x-opt-sequence-number >= '7'", "x-opt-sequence-number", Comparison::GreaterOrEqual, "7"),
            ("amqp.annotation.x-opt-enqueued-time > 170000", "x-opt-enqueued-time", Comparison::Greater, "170000"),
            (
                "amqp.annotation.iothub-connection-device-id='it''s'",
                "iothub-connection-device-id",
                Comparison::Equal,
                "it's",
            ),
        ] {
            let value = value.to_owned();
            assert_eq!(one(text), Term { annotation: annotation.into(), comparison, value }, "{text}");
        }
        let both = parse("amqp.annotation.a <> 'x AND y' and amqp.annotation.b != 2").unwrap();
        assert_eq!((both.len(), both[0].value.as_str()), (2, "x AND y"));
        assert_eq!(parse("  ").unwrap(), []);
        for wrong in [
            "a = 1",
            "amqp.annotation.a",
            "amqp.annotation.a = 'x",
            "amqp.annotation.a = 1 OR amqp.annotation.b = 2",
            "amqp.annotation.a = 1 AND",
            "amqp.annotation.= 1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse(&"x".repeat(MAX_BYTES + 1)), Err(SelectorError::TooMuch));
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let term = |comparison| Term { annotation: "a".into(), comparison, value: "10".into() };
        assert!(term(Comparison::Less).holds("9") && term(Comparison::Greater).holds("11"));
        assert!(term(Comparison::NotEqual).holds("ten") && term(Comparison::Equal).holds("10"));
    }
}
