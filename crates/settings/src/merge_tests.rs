//! Merging as a property: whatever is written where, what is in force is as if the winning values alone had been given.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*, sample::Index, test_runner::Config};

use super::*;

/// Values among which there are allowed ones, and wrong ones, for every key.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "7",
    "64",
    "2000",
    "1048576",
    "99999999999999999999",
    "127.0.0.1:0",
    "127.0.0.1:7001",
    "[::1]:7002",
    "0.0.0.0:1",
    "/a",
    "/b/c",
    "open",
    "closed",
    "token",
    "none",
    "asked",
    "consent",
    "https://a.example",
    "http://b.example:8080",
    "a.example",
    "10.0.0.1",
    "a.example,10.0.0.1",
    "20s",
    "90m",
    "0.5",
    "true",
];

/// The source of a value.
type Placed = (Option<Index>, Option<Index>, Option<Index>);

fn placed() -> impl Strategy<Value = Vec<(Index, Placed)>> {
    let somewhere = (option::of(any::<Index>()), option::of(any::<Index>()), option::of(any::<Index>()));
    vec((any::<Index>(), somewhere), 0..12)
}

/// The line of the settings file; not every value can stand there for every setting.
fn line(key: Key, value: &str) -> Option<String> {
    let written = Setting::read(key.kind(), value.to_owned(), Origin::File).in_file();
    let read: toml::Table = format!("x = {written}").parse().ok()?;
    let same = Setting::of_file(key.kind(), read.get("x")?).is_some_and(|setting| setting.written == value);
    same.then(|| format!("{} = {written}\n", key.name()))
}

/// Without where the values come from.
fn plain(settings: Settings) -> Settings {
    Settings { in_force: BTreeMap::new(), ..settings }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(1_000) })]

    #[test]
    fn what_is_in_force_is_as_if_the_winning_values_alone_had_been_given(placed in placed()) {
        let (mut file, mut environment, mut flags) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut winners: BTreeMap<Key, (String, Origin)> = BTreeMap::new();
        let placed: BTreeMap<_, _> = placed.into_iter().map(|(key, values)| (key.get(ALL).key, values)).collect();
        for (key, (in_file, in_environment, in_flag)) in placed {
            let value = |index: Option<Index>| index.map(|index| (*index.get(VALUES)).to_owned());
            if let Some((value, line)) = value(in_file).and_then(|value| Some((value.clone(), line(key, &value)?))) {
                file.insert(key, line);
                winners.insert(key, (value, Origin::File));
            }
            if let Some(value) = value(in_environment) {
                environment.insert(key.variable(), value.clone());
                winners.insert(key, (value, Origin::Environment));
            }
            if let Some(value) = value(in_flag) {
                flags.push((key, value.clone()));
                winners.insert(key, (value, Origin::Flag));
            }
        }
        let text: String = file.into_values().collect();
        let merged = resolve(Some(&text), &|name| environment.get(name).cloned(), &flags);
        let alone: Vec<_> = winners.iter().map(|(key, (value, _))| (*key, value.clone())).collect();
        match (merged, Settings::with(&alone)) {
            (Ok(merged), Ok(alone)) => {
                for Spec { key, .. } in ALL {
                    let origin = winners.get(key).map_or(Origin::Default, |(_, origin)| *origin);
                    prop_assert_eq!(merged.origin(*key), origin, "{}", key.name());
                }
                let printed = merged.to_string();
                let again = resolve(Some(&printed), &|_| None, &[]).map(plain);
                prop_assert_eq!(again, Ok(plain(merged.clone())), "{}", printed);
                prop_assert_eq!(plain(merged), plain(alone));
            }
            (Err(merged), Err(alone)) => {
                let problems = |problems: &Problems| problems.0.iter().map(|one| (one.key.clone(), one.text.clone())).collect::<Vec<_>>();
                prop_assert_eq!(problems(&merged), problems(&alone));
                for problem in merged.0 {
                    let key = Key::of(&problem.key).unwrap();
                    let origin = winners.get(&key).map_or(Origin::Default, |(_, origin)| *origin);
                    prop_assert_eq!(problem.origin, origin, "{}", problem.key);
                }
            }
            (merged, alone) => prop_assert!(false, "{merged:?} is not {alone:?}"),
        }
    }
}
