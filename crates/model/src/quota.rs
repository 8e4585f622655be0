//! A bound that many share, so that one of them cannot use it up. Pure.

use super::{broker::Owner, limits::LimitName};

/// How much of something all owners may have together, and one of them.
#[derive(Debug, Clone, Copy)]
pub struct SharedQuota {
    pub all: usize,
    pub one: usize,
    /// Names of the limits: that of all, and that of one.
    pub names: (LimitName, LimitName),
}

impl SharedQuota {
    /// Unauthenticated clients, which cannot be distinguished, may have `everyone` together. All other owners have a third of it in
    /// addition, and each of these may have a third.
    #[must_use]
    pub const fn beside(everyone: usize, names: (LimitName, LimitName)) -> Self {
        Self { all: everyone + everyone / 3, one: everyone / 3, names }
    }

    /// Whether `owner`, which has `own` of the `used`, may have `more`. The error is the name of the limit. Clients that cannot be
    /// distinguished count as one owner, which may have three quarters. The last quarter is for owners that have no more than a
    /// hundredth each.
    pub fn check(&self, owner: &Owner, own: usize, used: usize, more: usize) -> Result<(), LimitName> {
        let quarter = self.all / 4;
        let (own, used) = (own.saturating_add(more), used.saturating_add(more));
        let most_of_one = if *owner == Owner::Everyone { self.all - quarter } else { self.one };
        let most_of_all = if own <= self.all / 100 { self.all } else { self.all - quarter };
        match (own <= most_of_one, used <= most_of_all) {
            (false, _) => Err(self.names.1),
            (true, false) => Err(self.names.0),
            (true, true) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::names::{RETAINED_MESSAGES, RETAINED_MESSAGES_OF_ONE};

    const NAMES: (LimitName, LimitName) = (RETAINED_MESSAGES, RETAINED_MESSAGES_OF_ONE);

    #[test]
    fn one_owner_has_a_quarter_and_leaves_the_last_one_to_those_that_have_little() {
        const QUOTA: SharedQuota = SharedQuota { all: 1_000, one: 250, names: NAMES };
        let account = Owner::Service("a".into());
        for (owner, own, used, expect) in [
            (&account, 249, 249, Ok(())),
            (&account, 250, 250, Err(NAMES.1)),
            (&account, 100, 749, Ok(())),
            (&account, 100, 750, Err(NAMES.0)),
            (&account, 9, 999, Ok(())),
            (&account, 9, 1_000, Err(NAMES.0)),
            (&Owner::Everyone, 749, 749, Ok(())),
            (&Owner::Everyone, 750, 750, Err(NAMES.1)),
        ] {
            assert_eq!(QUOTA.check(owner, own, used, 1), expect, "{owner} has {own} of {used}");
        }
        let beside = SharedQuota::beside(9_000, NAMES);
        assert_eq!((beside.all, beside.one), (12_000, 3_000));
        assert!(beside.check(&Owner::Everyone, 8_999, 8_999, 1).is_ok());
    }
}
