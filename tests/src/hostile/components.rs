//! Files in the plugin folder that are not what they seem.

use std::{fmt::Write as _, fs};

use super::{Attack, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("oversized-component", "puts a component of 4 GB into the folder (a hole, which costs no disk)", |attack| {
        let path = attack.target.plugins.join("oversized.wasm");
        while attack.goes_on() {
            let file = fs::File::create(&path).expect("no file");
            file.set_len(4 * 1024 * 1024 * 1024).expect("no room");
            refused(attack, "oversized");
        }
        let _ = fs::remove_file(&path);
    }),
    row("memory-bomb-component", "puts components into the folder that want all memory and endless tables", |attack| {
        let module = |body: &str| format!("(component (core module $m {body}) (core instance (instantiate $m)))");
        tried(
            attack,
            "memory",
            &[module("(memory 65536)"), module("(table 4294967295 funcref)"), module(&"(memory 1000)".repeat(90))],
        );
    }),
    row(
        "compile-bomb-component",
        "puts components into the folder that are small and take long to compile",
        |attack| {
            let deep = format!("(func {} {})", "block ".repeat(5_000), "end ".repeat(5_000));
            let locals = format!("(func {})", "(local i64)".repeat(40_000));
            let wide = format!("(func (param i32) (result i32) local.get 0 {})", "local.get 0 i32.mul ".repeat(60_000));
            let module = |body: &str| format!("(component (core module {body}))");
            tried(attack, "compile", &[module(&deep), module(&locals), module(&wide)]);
        },
    ),
    row(
        "function-bomb-component",
        "puts components into the folder that have a million empty functions, or as many types",
        |attack| {
            let module = |body: &str| format!("(component (core module {body}))");
            let bombs = [module(&"(func)".repeat(1_000_000)), module(&"(type (func))".repeat(400_000))];
            attack.target.reset_peak();
            let idle = attack.target.resident_mib();
            tried(attack, "functions", &bombs);
            let peak = attack.target.peak_mib();
            assert!(peak <= idle + 64, "the host took {peak} MiB, and {idle} before");
        },
    )
    .asserts("the host takes at most 64 MiB more"),
    row("type-bomb-component", "puts a component into the folder whose types double at every step", |attack| {
        let mut types = String::from("(component (type $t0 (tuple u64 u64))");
        for step in 1..40 {
            let _ = write!(types, "(type $t{step} (tuple $t{0} $t{0}))", step - 1);
        }
        types.push_str("(type (func (param \"p\" $t39))))");
        tried(attack, "types", &[types]);
    }),
    row("noise-component", "puts noise, a zip file and half a component into the folder", |attack| {
        let half = wat::parse_str("(component (core module (func)))").expect("no component");
        let files = [
            super::transport::noise(100_000),
            b"PK\x03\x04zip".repeat(1_000),
            half[..half.len() - 3].to_vec(),
            b"\0asm".to_vec(),
        ];
        written(attack, "noise", &files);
    }),
];

fn tried(attack: &Attack, name: &str, texts: &[String]) {
    // What is no component at all is refused as well.
    let components: Vec<_> = texts.iter().map(|text| wat::parse_str(text).expect("no component")).collect();
    written(attack, name, &components);
}

fn written(attack: &Attack, name: &str, components: &[Vec<u8>]) {
    let path = attack.target.plugins.join(format!("{name}.wasm"));
    while attack.goes_on() {
        for bytes in components {
            fs::write(&path, bytes).expect("no room");
            refused(attack, name);
        }
    }
    let _ = fs::remove_file(&path);
}

/// Waits until the host has looked at it, and then a while.
fn refused(attack: &Attack, name: &str) {
    let shown = || attack.target.plugin(name).filter(|text| text.contains("lastError") || text.contains("\"state\""));
    let text = crate::until("the host to look at the component", shown);
    assert!(!text.contains("\"RUNNING\"") && !text.contains("\"running\""), "it runs: {text}");
}
