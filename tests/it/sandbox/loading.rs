//! Files that are not plugins are refused with a text that says why; plugins are compiled once.

use bytes::Bytes;
use switchbox_plugin_runtime::{Component, Limits, LoadError, Options, WasmEngine, limits::Size};

use super::world::{World, hostile, setup};

async fn refused(bytes: impl Into<Bytes>) -> LoadError {
    let engine = WasmEngine::new(Options { max_instances: 2, ..Options::default() }).unwrap();
    Component::load(&engine, bytes.into()).await.unwrap_err()
}

fn guest() -> Vec<u8> {
    std::fs::read(env!("GUEST_HOSTILE")).unwrap()
}

#[tokio::test]
async fn what_is_no_component_is_recognised() {
    for (bytes, expect) in [
        (wat::parse_str("(module)").unwrap(), "wasm32-wasip2"),
        (b"#!/bin/sh\n".to_vec(), "does not begin with"),
        (vec![], "is empty"),
        (guest()[..100_000].to_vec(), "ends in the middle of a section"),
    ] {
        let error = refused(bytes).await;
        assert!(matches!(error, LoadError::NotAComponent(_)), "{error:?}");
        assert!(error.to_string().contains(expect), "{error}");
    }
    let error = refused(vec![0; 65 << 20]).await;
    assert!(error.to_string().contains("component-bytes"), "{error}");
    // Whole sections, but no sense in the last of them.
    let error = refused([&guest()[..], b"\x02\x03abc"].concat()).await;
    assert!(matches!(error, LoadError::Compile(_)), "{error:?}");
}

#[tokio::test]
async fn an_import_that_plugins_may_not_have_is_named() {
    for (import, expect) in [
        ("wasi:keyvalue/store@0.2.0", "may not use"),
        ("wasi:sockets/types@0.3.0", "speaks WASI 0.2"),
        ("switchbox:plugin/config@0.2.0", "speaks switchbox:plugin@0.1.0"),
        ("switchbox:plugin/shell@0.1.0", "not an interface"),
    ] {
        let text = format!(r#"(component (import "{import}" (instance)))"#);
        let error = refused(wat::parse_str(text).unwrap()).await;
        assert!(matches!(&error, LoadError::Import { name, .. } if name == import), "{error:?}");
        assert!(error.to_string().contains(expect), "{error}");
    }
}

#[tokio::test]
async fn a_component_must_export_the_handler() {
    let instance = r#"(component (component $c) (instance $i (instantiate $c)) (export "NAME" (instance $i)))"#;
    for (text, expect) in [
        ("(component)".to_owned(), "it exports nothing"),
        (instance.replace("NAME", "switchbox:plugin/handler@0.2.0"), "it exports switchbox:plugin/handler@0.2.0"),
        (instance.replace("NAME", "switchbox:plugin/handler@0.1.0"), "describe"),
    ] {
        let error = refused(wat::parse_str(&text).unwrap()).await;
        assert!(matches!(error, LoadError::Export { .. }), "{error:?}");
        assert!(error.to_string().contains(expect), "{error}");
    }
}

#[tokio::test]
async fn a_component_describes_itself() {
    let component = hostile().await;
    assert!(component.digest().starts_with("sha256:") && component.digest().len() == 71);
    let description = component.describe("{}", &Limits::default()).await.unwrap();
    assert_eq!(description.name, "hostile");
    assert_eq!(description.triggers.len(), 1);
    assert_eq!(description.grants.len(), 6);
    // It may call nothing meanwhile; this guest does not mind.
    component.describe(r#"{"describe":"call"}"#, &Limits::default()).await.unwrap();
}

#[tokio::test]
async fn a_description_is_bounded() {
    let component = hostile().await;
    for (what, limit) in [("triggers", "triggers"), ("glob", "pattern-bytes"), ("globs", "patterns-bytes")] {
        let settings = format!(r#"{{"describe":"{what}"}}"#);
        let error = component.describe(&settings, &Limits::default()).await.unwrap_err().to_string();
        assert!(error.contains(&format!("\"{limit}\"")) && error.len() < 8_000, "{error}");
    }
    let description = component.describe(r#"{"describe":"texts"}"#, &Limits::default()).await.unwrap();
    assert!(description.summary.ends_with("(cut: it had 3000000 bytes)"), "{} bytes", description.summary.len());
}

/// The message of a limit that ends `describe` names a line of the settings file, so the line has to count there.
#[tokio::test]
async fn the_plugins_own_limits_count_while_it_describes_itself() {
    let component = hostile().await;
    let limits = Limits { start_deadline: std::time::Duration::from_millis(60), ..Limits::default() };
    let error = component.describe(r#"{"describe":"loop"}"#, &limits).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the limit \"start-deadline\" is reached: the guest took longer than 60ms"), "{text}");
    assert!(text.contains("; start-deadline = \"120ms\" under [limits] of its .toml raises it"), "{text}");
    assert_eq!(error.limit().map(|limit| limit.as_str()), Some("start-deadline"));
    let limits = Limits { memory: Size(1024 * 1024), ..Limits::default() };
    let error = component.describe("{}", &limits).await.unwrap_err();
    assert_eq!(error.limit().map(|limit| limit.as_str()), Some("memory"));
    assert!(error.to_string().contains("; memory = \"2MiB\" under [limits] of its .toml raises it"), "{error}");
}

/// A small file can hold much to compile.
#[tokio::test]
async fn what_would_take_long_to_compile_is_refused_before() {
    let began = std::time::Instant::now();
    let functions = format!("(component (core module {}))", "(func)".repeat(100_001));
    let types = format!("(component (core module {}))", "(type (func))".repeat(200_001));
    let depth = (0..20).fold(String::new(), |inner, _| format!("(component {inner})"));
    for (text, limit) in [(functions, "component-functions"), (types, "component-items"), (depth, "component-depth")] {
        let error = refused(wat::parse_str(&text).unwrap()).await;
        assert!(matches!(error, LoadError::TooMuch { .. }) && error.to_string().contains(limit), "{error}");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_refused_leaves_no_compiled_code() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { cache: Some(folder.path().join("cache")), max_instances: 2, ..Options::default() };
    let engine = WasmEngine::new(options).unwrap();
    let instance = r#"(component (component $c) (instance $i (instantiate $c)) (export "switchbox:plugin/handler@0.1.0" (instance $i)))"#;
    Component::load(&engine, wat::parse_str(instance).unwrap().into()).await.unwrap_err();
    let files = || std::fs::read_dir(folder.path().join("cache")).unwrap().count();
    assert_eq!(files(), 0);
    let digest = Component::load(&engine, guest().into()).await.unwrap().digest().to_owned();
    assert_eq!(files(), 1);
    engine.retain_compiled(&[digest].into());
    assert_eq!(files(), 1);
    engine.retain_compiled(&std::collections::HashSet::new());
    assert_eq!(files(), 0, "no plugin uses it");
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    for (settings, expect) in [
        (r#"{"start":"refuse"}"#, "the plugin does not start: `target` is missing"),
        (r#"{"start":"words"}"#, "(cut: it had 3000000 bytes)"),
        (r#"{"start":"panic"}"#, "no start today"),
        (r#"{"start":"effect"}"#, "there is no event to do this for"),
        (r#"{"start":"loop"}"#, "\"start-deadline\""),
    ] {
        let mut setup = (*setup(Default::default(), None).await).clone();
        setup.settings = settings.into();
        if settings.contains("loop") {
            setup.limits.start_deadline = std::time::Duration::from_millis(100);
        }
        let started = hostile().await.start(setup.into(), std::sync::Arc::new(World::new())).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn more_instances_than_the_pool_has_are_refused() {
    let engine = WasmEngine::new(Options { max_instances: 1, ..Options::default() }).unwrap();
    let component = Component::load(&engine, guest().into()).await.unwrap();
    let setup = setup(Default::default(), None).await;
    let first = component.start(setup.clone(), std::sync::Arc::new(World::new())).await.unwrap();
    let error = component.start(setup.clone(), std::sync::Arc::new(World::new())).await.err().unwrap();
    assert!(error.to_string().contains("\"instances\""), "{error}");
    drop(first);
    component.start(setup, std::sync::Arc::new(World::new())).await.unwrap();
}

#[tokio::test]
async fn compiled_code_is_kept_and_a_broken_file_only_costs_time() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let engine =
        || WasmEngine::new(Options { cache: Some(cache.clone()), max_instances: 2, ..Options::default() }).unwrap();
    let digest = Component::load(&engine(), guest().into()).await.unwrap().digest().to_owned();
    let files = || std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let [file] = files().try_into().unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for broken in [&b""[..], &b"short"[..], &whole[..whole.len() / 2], &flipped] {
        std::fs::write(&file, broken).unwrap();
        assert_eq!(Component::load(&engine(), guest().into()).await.unwrap().digest(), digest);
        assert_eq!(std::fs::read(&file).unwrap(), whole, "it is written anew");
    }
    assert_eq!(files().len(), 1);
}
