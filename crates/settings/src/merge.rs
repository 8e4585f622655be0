//! Merging the sources: defaults, the settings file, the environment, flags.

use std::path::PathBuf;

use super::{ALL, Key, Origin, Problem, Problems, Setting, Settings, Spec, check::check, value::Values};

/// Merges defaults, the text of a settings file, the environment and flags, the later over the earlier. Each value is read as its type where
/// it comes from; what is wrong with it counts if it is in force.
pub fn resolve(
    file: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &[(Key, String)],
) -> Result<Settings, Problems> {
    let mut problems = Vec::new();
    let default = |spec: &Spec| (spec.key, Setting::read(spec.kind, spec.default.to_owned(), Origin::Default));
    let mut values: Values = ALL.iter().map(default).collect();
    if let Some(text) = file {
        read_file(text, &mut values, &mut problems);
    }
    for Spec { key, kind, .. } in ALL {
        if let Some(value) = environment(&key.variable()) {
            values.insert(*key, Setting::read(*kind, value, Origin::Environment));
        }
    }
    for (key, value) in flags {
        values.insert(*key, Setting::read(key.kind(), value.clone(), Origin::Flag));
    }
    default_folder(&mut values);
    let settings = check(values, &mut problems);
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(Problems(problems)),
    }
}

fn read_file(text: &str, values: &mut Values, problems: &mut Vec<Problem>) {
    match text.parse::<toml::Table>() {
        Ok(table) => flatten("", &table, values, problems),
        Err(error) => problems.push(Problem {
            key: String::new(),
            origin: Origin::File,
            text: error.to_string().trim_end().to_owned(),
        }),
    }
}

fn flatten(prefix: &str, table: &toml::Table, values: &mut Values, problems: &mut Vec<Problem>) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        let mut problem = |text: String| problems.push(Problem { key: name.clone(), origin: Origin::File, text });
        match (Key::of(&name), value) {
            (Some(key), value) => match Setting::of_file(key.kind(), value) {
                Some(setting) => drop(values.insert(key, setting)),
                None => problem(format!("must be {}, not {}", key.kind().in_file(), value.type_str())),
            },
            (None, toml::Value::Table(inner)) if is_table(&name) => {
                flatten(&format!("{name}."), inner, values, problems);
            }
            (None, _) if is_table(&name) => problem(format!("is a table: write [{name}]")),
            (None, _) => problem(format!("there is no such key; the keys are {}", names())),
        }
    }
}

fn is_table(name: &str) -> bool {
    ALL.iter().any(|spec| spec.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn names() -> String {
    ALL.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ")
}

fn default_folder(values: &mut Values) {
    let data = values.get(&Key::Data).map(|data| PathBuf::from(&data.written)).unwrap_or_default();
    if let Some(folder) = values.get_mut(&Key::PluginsFolder).filter(|folder| folder.origin == Origin::Default) {
        let inside = data.join("plugins").display().to_string();
        *folder = Setting::read(Key::PluginsFolder.kind(), inside, Origin::Default);
    }
}
