//! Compiles components. In the program `switchbox` each is compiled by a process of its own, which has bounded memory and time and
//! whose memory goes back to the system when it ends. Where the host is a library of another program, as in tests, its threads
//! compile.

use std::{
    io::{self, Read as _, Write as _},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    task::JoinSet,
    time::timeout,
};
use wasmtime::component::Component as Compiled;

use super::{
    binary::MAX_COMPONENT_BYTES,
    engine::{self, WasmEngine},
    error::LoadError,
    limits::{Size, names},
    text,
};
use switchbox_model::limits::{COMPILE_MEMORY_BYTES, COMPILE_TIME, COMPILED_CODE_BYTES, LimitName};
use switchbox_support::terminal;

/// The command that [`child`] stands behind.
pub const COMMAND: &str = "compile-component";

/// What is kept of the child's standard error.
const WORDS_BYTES: u64 = 16 * 1024;

/// How much higher the child's `nice` is than that of the background thread that starts it, which it takes over.
const NICE: i32 = 5;

static IN_CHILDREN: AtomicBool = AtomicBool::new(false);

/// From now on this process starts itself anew, with [`COMMAND`], to compile a component.
pub fn in_child_processes() {
    IN_CHILDREN.store(true, Ordering::Relaxed);
}

/// Compiled code: what the cache keeps.
pub(super) async fn compile(engine: &WasmEngine, bytes: &Bytes) -> Result<Vec<u8>, LoadError> {
    if IN_CHILDREN.load(Ordering::Relaxed) {
        // On a background thread: the thread that starts a process stands still until that has begun, and this one takes code of
        // several MiB from it. Dropped with the caller, which ends the child. Supervision: a panic refuses the component.
        let mut child = JoinSet::new();
        child.spawn_on(timeout(2 * COMPILE_TIME, in_child(engine.reservation(), bytes.clone())), &engine.threads());
        match child.join_next().await {
            Some(Ok(Ok(Ok((status, code, words))))) => return judged(status, code, &words),
            Some(Ok(Ok(Err(error)))) => {
                tracing::warn!(%error, "no process can be started to compile a component; the host compiles it itself");
            }
            Some(Ok(Err(_))) => return Err(took_too_long()),
            Some(Err(error)) => return Err(LoadError::Compile(error.to_string())),
            None => return Err(LoadError::Compile("the host is stopping".into())),
        }
    }
    let (engine, bytes) = (engine.clone(), bytes.clone());
    let threads = engine.threads();
    let compiled = threads.spawn_blocking(move || engine.wasmtime().precompile_component(&bytes)).await;
    let compiled = compiled.map_err(|error| LoadError::Compile(error.to_string()))?;
    compiled.map_err(|error| LoadError::Compile(text::cut(format!("{error:#}"))))
}

/// From compiled code to a component.
pub(super) fn deserialize(engine: &WasmEngine, code: &[u8]) -> Result<Compiled, LoadError> {
    #[allow(
        unsafe_code,
        reason = "this process has compiled it just now, or a child that is this same program; wasmtime refuses code of another engine"
    )]
    // SAFETY: see the reason above.
    let component = unsafe { Compiled::deserialize(engine.wasmtime(), code) };
    component.map_err(|error| LoadError::Compile(format!("{error:#}")))
}

/// How the child ended, what it wrote, and its last words.
async fn in_child(reservation: u64, bytes: Bytes) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    // The program as it was when it started, also where its file was replaced since.
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
    let mut child = Command::new(program);
    child.arg(COMMAND).arg(reservation.to_string()).env_clear().kill_on_drop(true);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let gone = || io::Error::other("a process without its pipes");
    let mut stdin = child.stdin.take().ok_or_else(gone)?;
    let stdout = child.stdout.take().ok_or_else(gone)?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    let (mut code, mut words) = (Vec::new(), Vec::new());
    let given = async move {
        // A child that ends early says why itself.
        let _ = stdin.write_all(&bytes).await;
    };
    let most = COMPILED_CODE_BYTES as u64 + 1;
    let read = async { stdout.take(most).read_to_end(&mut code).await };
    let heard = async { stderr.take(WORDS_BYTES).read_to_end(&mut words).await };
    let ((), read, heard) = tokio::join!(given, read, heard);
    let status = child.wait().await?;
    read.and(heard)?;
    Ok((status, code, words))
}

fn judged(status: ExitStatus, code: Vec<u8>, words: &[u8]) -> Result<Vec<u8>, LoadError> {
    use std::os::unix::process::ExitStatusExt as _;
    if code.len() > COMPILED_CODE_BYTES {
        let most = Size(COMPILED_CODE_BYTES as u64);
        return Err(hit(names::COMPILED_CODE_BYTES, &format!("its compiled code has more than {most}")));
    }
    if status.success() {
        return Ok(code);
    }
    let words = String::from_utf8_lossy(words);
    let words = words.trim();
    let ended_by = |signal: Signal| status.signal() == Some(signal.as_raw());
    Err(if ended_by(Signal::XCPU) {
        took_too_long()
    } else if ended_by(Signal::ABORT) || words.contains("Cannot allocate memory") {
        let most = Size(COMPILE_MEMORY_BYTES);
        hit(names::COMPILE_MEMORY, &format!("compiling it takes more than {most}"))
    } else if let Some(signal) = status.signal() {
        LoadError::Compile(format!("the process that compiled it was ended by signal {signal}"))
    } else {
        LoadError::Compile(text::cut(words.to_owned()))
    })
}

fn took_too_long() -> LoadError {
    hit(names::COMPILE_TIME, &format!("compiling it takes longer than {COMPILE_TIME:?}"))
}

fn hit(limit: LimitName, text: &str) -> LoadError {
    LoadError::Compile(format!("the limit \"{limit}\" is reached: {text}"))
}

/// Compiles what comes on standard input to standard output, in the address space and the processor time of a child.
pub fn child(reservation: u64) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    bound_this_process().map_err(text)?;
    let mut bytes = Vec::new();
    let most = MAX_COMPONENT_BYTES as u64;
    io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(text)?;
    let engine = engine::for_compiling(reservation).map_err(|error| format!("{error:#}"))?;
    let code = engine.precompile_component(&bytes).map_err(|error| format!("{error:#}"))?;
    let mut out = terminal::raw();
    out.write_all(&code).and_then(|()| out.flush()).map_err(text)
}

fn bound_this_process() -> io::Result<()> {
    let bound = |resource: Resource, most: u64| {
        // The host itself may have less.
        let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    bound(Resource::As, COMPILE_MEMORY_BYTES)?;
    bound(Resource::Cpu, COMPILE_TIME.as_secs())?;
    bound(Resource::Core, 0)?;
    nice(NICE)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn how_a_child_ended_is_said_with_the_limits_name() {
        let signal = |signal: Signal| ExitStatus::from_raw(signal.as_raw());
        for (status, words, expect) in [
            (signal(Signal::XCPU), "", "\"compile-time\""),
            (signal(Signal::ABORT), "memory allocation of 7 bytes failed", "\"compile-memory\""),
            (signal(Signal::KILL), "", "signal 9"),
            (ExitStatus::from_raw(1 << 8), "  unexpected end\n", "does not compile: unexpected end"),
        ] {
            let error = judged(status, Vec::new(), words.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
        assert_eq!(judged(ExitStatus::from_raw(0), vec![1], b"").unwrap(), [1]);
    }
}
