//! The commands of README.md and of pages of docs/, run as printed and in order: in a separate home folder, on free loopback ports.
//! `lists.rs` names the commands that cannot be run like that, with the test that covers each.

use std::{fs, process::Command};

use switchbox_tests::{is_available, workspace};

use super::{
    lists::{LOOKS, NOT_RUN, PRINTS},
    reader::Reader,
};

/// The commands of the blocks that are marked as shell, without their comments; continued lines are joined.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let text = blocks.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let commands = text.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned());
    commands.filter(|line| !line.is_empty()).collect()
}

fn read(page: &str) -> Vec<String> {
    commands(&fs::read_to_string(workspace().join(page)).unwrap())
}

/// The pages that are followed, each list by a reader of its own.
const FIRST: &[&str] = &["README.md", "docs/first-plugin.md", "docs/devices.md", "docs/explain.md"];
const NETWORK: &[&str] = &["docs/network.md"];
const HTTP: &[&str] = &["docs/http-api.md"];

/// Returns `None` if a program that the pages use is not installed.
fn followed(pages: &[&str], before: &[&str]) -> Option<Reader> {
    for program in ["mosquitto_pub", "openssl", "curl"] {
        if !is_available(program, Command::new(program).arg("--help").output().is_ok()) {
            return None;
        }
    }
    let mut reader = Reader::new();
    before.iter().for_each(|line| reader.follow(line));
    for page in pages {
        let commands = read(page);
        assert!(!commands.is_empty(), "{page} has no commands");
        for line in commands.iter().filter(|line| !NOT_RUN.iter().any(|(not, _)| line == not)) {
            reader.follow(line);
        }
    }
    Some(reader)
}

#[test]
fn every_command_of_the_lists_is_on_a_page() {
    let all: Vec<_> = [FIRST, NETWORK, HTTP].concat().into_iter().flat_map(read).collect();
    for (command, _) in NOT_RUN {
        assert!(all.iter().any(|line| line == command), "{command} is on no page any more");
    }
    for command in PRINTS.iter().map(|(command, _)| command).chain(LOOKS) {
        assert!(all.iter().any(|line| line.starts_with(command)), "{command} is on no page any more");
    }
}

#[test]
fn the_commands_of_the_readme_and_of_the_first_pages_work_as_printed_in_their_order() {
    let Some(mut reader) = followed(FIRST, &[]) else { return };
    reader.stop();
}

#[test]
fn the_commands_of_the_page_on_networks_work_as_printed_in_their_order() {
    let Some(mut reader) = followed(NETWORK, &[]) else { return };
    let (worked, events, _) = reader.once("switchbox events --kind telemetry");
    assert!(
        worked && events.contains("lamp-3 telemetry hello"),
        "what lamp-3 sent with TLS and a token came: {events}"
    );
    reader.stop();
}

#[test]
fn the_examples_of_the_http_api_work_as_printed_in_their_order() {
    let Some(mut reader) = followed(HTTP, &["switchbox serve --data ~/switchbox"]) else { return };
    reader.stop();
}
