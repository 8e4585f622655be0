//! Which file of a crate imports which.
//!
//! A file imports the file that defines a name which it writes as `crate::…`, `super::…` or `self::…`, in a `use` or in the code,
//! also where another file hands the name on with a `use` of its own. A `pub use` only hands on: it is no import. What is compiled for
//! tests only counts for no file of the product.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    code::{code, is_of_name, without_tests},
    use_paths::{inside_paths, paths},
};

/// The names of a module, from the root of its crate on.
type Names = Vec<String>;

/// Each file of a circle, with what it imports of the circle.
pub type Circle = BTreeMap<PathBuf, Vec<PathBuf>>;

/// A file, as the others see it.
struct Module {
    file: PathBuf,
    code: String,
    /// What it imports: the name here, and where it comes from.
    uses: Vec<(String, Names)>,
}

/// The files below a crate's source folder, by the names of their modules.
pub struct Crate(BTreeMap<Names, Module>);

impl Crate {
    pub fn new(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let module = |(file, text): (PathBuf, String)| {
            let code = without_tests(&code(&text));
            (names_of(&file), Module { file, code, uses: Vec::new() })
        };
        let mut all = Self(files.into_iter().map(module).collect());
        let uses: Vec<_> = all.0.iter().map(|(me, module)| all.uses(me, &module.code)).collect();
        for (module, uses) in all.0.values_mut().zip(uses) {
            module.uses = uses;
        }
        all
    }

    /// What the `use` lines of a module bring into it.
    fn uses(&self, me: &Names, code: &str) -> Vec<(String, Names)> {
        let lines = code.match_indices("use ").filter(|(at, _)| !code[..*at].ends_with(is_of_name));
        let paths = lines.flat_map(|(at, word)| paths(&code[at + word.len()..]));
        let named = paths.filter_map(|(path, name)| Some((name, self.absolute(me, path)?)));
        named.collect()
    }

    /// The path from the crate's root on, or `None` if it leads out of the crate.
    fn absolute(&self, me: &Names, mut path: Names) -> Option<Names> {
        let first = path.first()?.clone();
        let mut root = me.clone();
        match first.as_str() {
            "crate" => root.clear(),
            "self" | "super" => {}
            _ => {
                let child: Names = me.iter().chain([&first]).cloned().collect();
                return self.0.contains_key(&child).then(|| me.iter().cloned().chain(path).collect());
            }
        }
        while path.first().is_some_and(|part| ["crate", "self", "super"].contains(&part.as_str())) {
            if path.remove(0) == "super" {
                root.pop();
            }
        }
        root.extend(path);
        Some(root)
    }

    /// The module that defines the name at the end of the path, not one that only re-exports it.
    fn defines(&self, path: &Names, steps: usize) -> Option<&Names> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (found, module) = self.0.get_key_value(&path[..length])?;
        let Some(name) = path.get(length).filter(|_| steps > 0) else { return Some(found) };
        let handed_on = |(handed, from): &&(String, Names)| {
            handed == name || handed == "*" && self.defines(from, 0).is_some_and(|from| self.0[from].has(name))
        };
        match module.uses.iter().find(handed_on) {
            Some((handed, from)) => {
                let mut from = from.clone();
                if handed == "*" {
                    from.push(name.clone());
                }
                from.extend_from_slice(&path[length + 1..]);
                self.defines(&from, steps - 1)
            }
            None => Some(found),
        }
    }

    /// The files that can be reached from each other, in groups of two or more.
    pub fn circles(&self) -> Vec<Circle> {
        let imports = self.imports();
        let file = |names: &Names| self.0[names].file.clone();
        let shown = |circle: BTreeSet<&Names>| {
            let inside = |names| imports[names].intersection(&circle).map(|other| file(other)).collect();
            circle.iter().map(|names| (file(names), inside(*names))).collect()
        };
        circles(&imports).into_iter().map(shown).collect()
    }

    fn imports(&self) -> BTreeMap<&Names, BTreeSet<&Names>> {
        let of = |me: &Names, module: &Module| {
            let code = without_handed_on(&module.code);
            let mut named: Vec<_> = inside_paths(&code).filter_map(|path| self.absolute(me, path)).collect();
            named.extend(self.named_of_folder(me, &code));
            named.iter().filter_map(|path| self.defines(path, 9)).filter(|other| *other != me).collect()
        };
        self.0.iter().map(|(me, module)| (me, of(me, module))).collect()
    }

    /// What a module names of the modules in its folder, such as `child::NAME`.
    fn named_of_folder(&self, me: &Names, code: &str) -> Vec<Names> {
        let is_child = |names: &&Names| names.len() == me.len() + 1 && names.starts_with(me);
        let children = self.0.keys().filter(is_child).filter_map(|names| names.last());
        let named = children.flat_map(|child| {
            let begins = code.match_indices(&format!("{child}::")).map(|(at, _)| at).collect::<Vec<_>>();
            let begins = begins.into_iter().filter(|at| !code[..*at].ends_with(|c| c == ':' || is_of_name(c)));
            begins.flat_map(|at| paths(&code[at..])).map(|(path, _)| path).collect::<Vec<_>>()
        });
        named.map(|path| me.iter().cloned().chain(path).collect()).collect()
    }
}

impl Module {
    /// Whether it defines the name itself.
    fn has(&self, name: &str) -> bool {
        let kinds = ["struct", "enum", "fn", "trait", "type", "const", "static", "mod", "union"];
        kinds.iter().any(|kind| super::words_after(&self.code, &format!("{kind} ")).any(|word| word == name))
    }
}

/// Code without `pub use`.
fn without_handed_on(code: &str) -> String {
    let mut parts = code.split(" use ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let visibility = kept.rsplit(char::is_whitespace).next().unwrap_or_default().to_owned();
        if visibility.starts_with("pub") {
            kept.push_str(&part[part.find(';').unwrap_or(part.len())..]);
        } else {
            kept.push_str(part);
        }
    }
    kept
}

fn names_of(file: &Path) -> Names {
    let names: Names = file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    match names.split_last() {
        Some((last, before)) if last == "mod" => before.to_vec(),
        Some((last, [])) if last == "lib" || last == "main" => Vec::new(),
        _ => names,
    }
}

/// The files that can be reached from each other, in groups of two or more.
fn circles<T: Ord + Copy>(imports: &BTreeMap<T, BTreeSet<T>>) -> Vec<BTreeSet<T>> {
    let reached = |from: T| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            let known = imports.get(&at).into_iter().flatten().filter(|other| imports.contains_key(other));
            next.extend(known.filter(|other| seen.insert(**other)));
        }
        seen
    };
    let reached: BTreeMap<T, BTreeSet<T>> = imports.keys().map(|from| (*from, reached(*from))).collect();
    let with = |one: T| reached[&one].iter().copied().filter(|other| reached[other].contains(&one)).collect();
    let found: BTreeSet<BTreeSet<T>> = reached.keys().map(|one| with(*one)).collect();
    found.into_iter().filter(|circle| circle.len() > 1).collect()
}
