//! Malicious files in the plugin folder.

use std::{fmt::Write as _, fs};

use super::{Attack, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("oversized-component", "puts a component of 4 GB into the folder (a hole, which costs no disk)", |attack| {
        let path = attack.target.plugins.join("oversized.wasm");
        while attack.continues() {
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
            let bombs = [empty_functions(1_000_000), empty_types(400_000)];
            attack.target.reset_peak();
            let idle = attack.target.resident_mib();
            written(attack, "functions", &bombs);
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

/// `(component (core module (func) (func) …))`. Built byte by byte: parsing such a text would take longer than the host needs to
/// refuse the result, and the attacker shares the processor with the measured device.
fn empty_functions(count: usize) -> Vec<u8> {
    let types = section(1, 1, &[0x60, 0, 0]);
    let functions = section(3, count, &vec![0; count]);
    in_component(&[types, functions, section(10, count, &[2, 0, 0x0b].repeat(count))].concat())
}

/// `(component (core module (type (func)) (type (func)) …))`.
fn empty_types(count: usize) -> Vec<u8> {
    in_component(&section(1, count, &[0x60, 0, 0].repeat(count)))
}

fn in_component(sections: &[u8]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0", sections].concat();
    [&b"\0asm\x0d\0\x01\0"[..], &[1], &length(module.len()), &module].concat()
}

/// A section of a module: the number of its items, and the items.
fn section(id: u8, count: usize, items: &[u8]) -> Vec<u8> {
    let body = [&length(count), items].concat();
    [&[id][..], &length(body.len()), &body].concat()
}

/// LEB128.
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn tried(attack: &Attack, name: &str, texts: &[String]) {
    // Files that are not components are refused too.
    let components: Vec<_> = texts.iter().map(|text| wat::parse_str(text).expect("no component")).collect();
    written(attack, name, &components);
}

fn written(attack: &Attack, name: &str, components: &[Vec<u8>]) {
    let path = attack.target.plugins.join(format!("{name}.wasm"));
    while attack.continues() {
        for bytes in components {
            fs::write(&path, bytes).expect("no room");
            refused(attack, name);
        }
    }
    let _ = fs::remove_file(&path);
}

/// Waits until the host has read the file, and a while longer.
fn refused(attack: &Attack, name: &str) {
    let shown = || attack.target.plugin(name).filter(|text| text.contains("lastError") || text.contains("\"state\""));
    let text = crate::until("the host to look at the component", shown);
    assert!(!text.contains("\"RUNNING\"") && !text.contains("\"running\""), "it runs: {text}");
}
