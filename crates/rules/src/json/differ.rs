//! Where reported is not what desired asks for. What desired says nothing of is the device's own business and differs
//! from nothing.

use crate::json::{
    compare::{Tolerance, fulfils},
    value::{Kind, Object, Value},
};

/// One place.
#[derive(Debug, Clone)]
pub struct Difference<'d, 'a> {
    /// The names of the members that lead there.
    pub keys: Vec<&'d [u8]>,
    pub desired: &'d Value<'a>,
    /// `None` when the device has not reported it.
    pub reported: Option<&'d Value<'a>>,
}

impl Difference<'_, '_> {
    /// The place as a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self) -> String {
        let escaped = |key: &&[u8]| String::from_utf8_lossy(key).replace('~', "~0").replace('/', "~1");
        self.keys.iter().map(escaped).fold(String::new(), |pointer, key| pointer + "/" + &key)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Differences<'d, 'a> {
    /// By their names.
    pub found: Vec<Difference<'d, 'a>>,
    /// How many there are beyond the limit.
    pub left_out: usize,
}

/// Finds the differences, and describes the first ones: not more than `limit`, and not more than fit into `limit_bytes`
/// of names.
#[must_use]
pub fn differences<'d, 'a>(
    desired: &'d Object<'a>,
    reported: &'d Object<'a>,
    tolerance: Tolerance,
    (limit, limit_bytes): (usize, usize),
) -> Differences<'d, 'a> {
    let found = Differences::default();
    let mut search = Search { tolerance, limit, bytes_left: limit_bytes, keys: Vec::new(), found };
    search.objects(desired, reported);
    search.found
}

struct Search<'d, 'a> {
    tolerance: Tolerance,
    limit: usize,
    bytes_left: usize,
    keys: Vec<&'d [u8]>,
    found: Differences<'d, 'a>,
}

impl<'d, 'a> Search<'d, 'a> {
    fn objects(&mut self, desired: &'d Object<'a>, reported: &'d Object<'a>) {
        for member in desired.sorted() {
            let is = reported.get(&member.key);
            self.keys.push(&member.key);
            match (&member.value.kind, is.map(|is| &is.kind)) {
                (Kind::Object(desired_object), Some(Kind::Object(is))) => self.objects(desired_object, is),
                _ if fulfils(&member.value, is, self.tolerance) => {}
                _ => self.add(&member.value, is),
            }
            self.keys.pop();
        }
    }

    fn add(&mut self, desired: &'d Value<'a>, reported: Option<&'d Value<'a>>) {
        let bytes: usize = self.keys.iter().map(|key| key.len() + 1).sum();
        if self.found.found.len() >= self.limit || bytes > self.bytes_left {
            self.found.left_out += 1;
            return;
        }
        self.bytes_left -= bytes;
        self.found.found.push(Difference { keys: self.keys.clone(), desired, reported });
    }
}
