//! The output of a program on a terminal, which differs from its output into a pipe.

use std::process::{Command, ExitStatus, Stdio};

use crate::{is_available, runs};

/// Whether programs can be run on a terminal here.
#[must_use]
pub fn has_terminal() -> bool {
    is_available("script, of bsdutils", runs(Command::new("script").arg("--version")))
}

/// Runs the command with additional arguments, in shell syntax, on a terminal of 100 columns. Returns its status and output.
///
/// # Panics
///
/// Panics if there is no `script`.
#[must_use]
pub fn on_a_terminal(plain: &Command, arguments: &str) -> (ExitStatus, String) {
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty cols 100; '{}' {arguments}", plain.get_program().display()), "/dev/null"]);
    // A test with colours sets it to the empty string.
    script.env("NO_COLOR", "1");
    script.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = plain.get_current_dir() {
        script.current_dir(folder);
    }
    let output = script.stdin(Stdio::null()).output().expect("there is no script");
    (output.status, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the character acts on a terminal instead of being shown. Line ends and tabs are written by the program itself.
#[must_use]
pub fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !"\r\n\t".contains(c))
}
