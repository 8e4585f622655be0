//! Which commands of a device are open, in a few numbers however many they are. Pure.

/// A device's commands that have no final status. Commands are numbered from 1 in the order in which they were
/// committed and mostly end in that order, so the open ones are a few runs of consecutive numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenCommands {
    /// The newest number given, open or not.
    last: u64,
    /// First and last number of each run, in order; no two runs touch.
    runs: Vec<(u64, u64)>,
    len: usize,
}

impl OpenCommands {
    /// Opens the next command. Returns its number.
    pub fn open_next(&mut self) -> u64 {
        let num = self.last + 1;
        self.load(num, true);
        num
    }

    /// A command as the store has it. In order of the numbers.
    pub fn load(&mut self, num: u64, open: bool) {
        self.last = self.last.max(num);
        if !open {
            return;
        }
        self.len += 1;
        match self.runs.last_mut() {
            Some((_, end)) if *end + 1 == num => *end = num,
            _ => self.runs.push((num, num)),
        }
    }

    /// Closes a command. Returns false if it was not open.
    pub fn close(&mut self, num: u64) -> bool {
        let Some(at) = self.run_of(num) else { return false };
        let Some(run) = self.runs.get_mut(at) else { return false };
        let (start, end) = *run;
        self.len -= 1;
        match (start == num, end == num) {
            (true, true) => {
                self.runs.remove(at);
            }
            (true, false) => run.0 = num + 1,
            (false, true) => run.1 = num - 1,
            (false, false) => {
                run.1 = num - 1;
                self.runs.insert(at + 1, (num + 1, end));
            }
        }
        if self.runs.is_empty() {
            self.runs = Vec::new();
        }
        true
    }

    #[must_use]
    pub fn contains(&self, num: u64) -> bool {
        self.run_of(num).is_some()
    }

    fn run_of(&self, num: u64) -> Option<usize> {
        let at = self.runs.partition_point(|(_, end)| *end < num);
        self.runs.get(at).filter(|(start, _)| *start <= num).map(|_| at)
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The newest number given; 0 = none yet.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The oldest that is open.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.runs.first().map(|(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> OpenCommands {
        let mut open = OpenCommands::default();
        (1..=count).for_each(|num| assert_eq!(open.open_next(), num));
        open
    }

    #[test]
    fn what_is_queued_takes_no_memory_of_its_own() {
        let mut open = filled(100_000);
        assert_eq!((open.len(), open.runs.len()), (100_000, 1));
        assert!((1..=50_000).all(|num| open.close(num)));
        assert_eq!((open.len(), open.first(), open.runs.len()), (50_000, Some(50_001), 1));
    }

    #[test]
    fn a_command_is_closed_once_wherever_it_stands() {
        for (closed, runs) in [
            (&[1][..], vec![(2, 5)]),
            (&[5], vec![(1, 4)]),
            (&[3], vec![(1, 2), (4, 5)]),
            (&[3, 2, 4], vec![(1, 1), (5, 5)]),
            (&[1, 2, 3, 4, 5], vec![]),
        ] {
            let mut open = filled(5);
            for num in closed {
                assert!(open.close(*num), "{closed:?}");
                assert!(!open.close(*num) && !open.contains(*num), "{closed:?}");
            }
            assert_eq!(open.runs, runs, "{closed:?}");
            assert_eq!((open.len(), open.last()), (5 - closed.len(), 5));
            assert!((1..=5).all(|num| open.contains(num) != closed.contains(&num)), "{closed:?}");
        }
        assert!(!filled(1).close(2), "a number that was never given");
    }

    #[test]
    fn numbers_go_on_after_those_of_the_store() {
        let mut open = OpenCommands::default();
        [(3, false), (4, true), (9, false)].into_iter().for_each(|(num, is_open)| open.load(num, is_open));
        assert_eq!(open.open_next(), 10);
        assert_eq!(open.runs, [(4, 4), (10, 10)]);
    }
}
