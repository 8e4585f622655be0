//! Holds the host to its supervision of tasks and threads: what is started by other means than `tasks.rs` says why it may be.

/// Calls that start a task or a thread whose panic would go unnoticed.
const BARE: [&str; 5] = ["tokio::spawn", "task::spawn(", "thread::spawn", "thread::Builder", "runtime.spawn("];
/// The comment that says what notices the panic, in one of the lines before.
const REASON: &str = "Supervision: ";
const LINES_BEFORE: usize = 3;

fn is_for_use(path: &std::path::Path) -> bool {
    let text = path.to_string_lossy();
    // The commands that are clients, and `Tasks` itself.
    let others = ["host/src/commands/", "crates/support/src/tasks.rs"];
    !others.iter().any(|other| text.starts_with(other))
        && !text.contains("/tests/")
        && !text.ends_with("tests.rs")
        && !text.ends_with("testing.rs")
}

#[test]
fn every_task_and_thread_of_the_host_is_supervised_or_says_why_it_need_not_be() {
    let mut bare = Vec::new();
    for (path, text) in super::sources(&["host/src", "crates"]).into_iter().filter(|(path, _)| is_for_use(path)) {
        let used = text.split("\nmod tests {").next().unwrap_or_default();
        let (lines, code): (Vec<_>, _) = (used.lines().collect(), super::code(used));
        for (at, (line, code)) in lines.iter().zip(code.lines()).enumerate() {
            let explained = lines[at.saturating_sub(LINES_BEFORE)..=at].iter().any(|line| line.contains(REASON));
            if BARE.iter().any(|what| code.contains(what)) && !explained {
                bare.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(
        bare.is_empty(),
        "start it with `Tasks::spawn` (it must live), `tasks::spawn_contained` (its panic harms one client alone) or \
         `Tasks::spawn_thread`; or write `// {REASON}` and what notices its panic before it:\n{}",
        bare.join("\n")
    );
}
