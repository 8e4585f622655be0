//! A parsed document: slices of its text, in the order of the text.

use std::{borrow::Cow, fmt};

/// One value of a document.
#[derive(Clone)]
pub struct Value<'a> {
    /// The bytes of the document from which this value is, without white space around them.
    pub text: &'a str,
    /// Where `text` begins in the document.
    pub start: usize,
    pub kind: Kind<'a>,
}

#[derive(Debug, Clone)]
pub enum Kind<'a> {
    Null,
    Bool(bool),
    /// The number is `Value::text`.
    Number,
    /// What the string means: its escapes are resolved. Text in UTF-8, but a lone surrogate (`\ud800`) is in WTF-8.
    String(Cow<'a, [u8]>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// The members of a JSON object. Of members with the same name the last one counts, as in most JSON parsers.
#[derive(Debug, Clone, Default)]
pub struct Object<'a> {
    /// All of them, in the order of the text.
    members: Vec<Member<'a>>,
    /// The members that count, by name.
    by_key: Vec<usize>,
}

#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The name as it is written, with its quotes.
    pub key_text: &'a str,
    /// Where `key_text` begins in the document.
    pub start: usize,
    /// What the name means, as in [`Kind::String`].
    pub key: Cow<'a, [u8]>,
    pub value: Value<'a>,
}

impl Value<'_> {
    /// Where the value ends in the document.
    #[must_use]
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<'a> Object<'a> {
    pub(crate) fn new(members: Vec<Member<'a>>) -> Self {
        let mut by_key: Vec<usize> = (0..members.len()).collect();
        let key = |at: &usize| members.get(*at).map(|member| member.key.as_ref());
        // The last of equal names comes first and is the one that stays.
        by_key.sort_by(|one, other| key(one).cmp(&key(other)).then(other.cmp(one)));
        by_key.dedup_by(|one, other| key(one) == key(other));
        Self { members, by_key }
    }

    /// All members in the order of the text, also those that do not count.
    #[must_use]
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// How many members count.
    pub(crate) fn count(&self) -> usize {
        self.by_key.len()
    }

    /// The members that count, in the order of their names' bytes.
    pub fn sorted(&self) -> impl Iterator<Item = &Member<'a>> {
        self.by_key.iter().filter_map(|at| self.members.get(*at))
    }

    /// The members that count, in the order of the text.
    pub fn counted(&self) -> impl Iterator<Item = &Member<'a>> {
        let counts = |(at, member): &(usize, &Member<'a>)| self.position(&member.key) == Some(*at);
        self.members.iter().enumerate().filter(counts).map(|(_, member)| member)
    }

    /// The member of this name that counts.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Value<'a>> {
        self.position(key).and_then(|at| self.members.get(at)).map(|member| &member.value)
    }

    /// Where in `members` the member of this name that counts is.
    pub(crate) fn position(&self, key: &[u8]) -> Option<usize> {
        let found = self.by_key.binary_search_by(|at| self.members.get(*at).map_or(&[][..], |m| &m.key).cmp(key));
        found.ok().and_then(|found| self.by_key.get(found)).copied()
    }

    /// Follows the names from object to object.
    #[must_use]
    pub fn at(&self, path: &[&[u8]]) -> Option<&Value<'a>> {
        let (first, rest) = path.split_first()?;
        let mut found = self.get(first)?;
        for key in rest {
            let Kind::Object(object) = &found.kind else { return None };
            found = object.get(key)?;
        }
        Some(found)
    }
}
