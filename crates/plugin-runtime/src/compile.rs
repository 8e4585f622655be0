//! Compiles components. In the program `switchbox` each is compiled in a child process with bounded memory and time, whose memory is
//! returned to the system when it ends. If the host is a library of another program, as in tests, threads compile.

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

/// The command whose implementation is [`child`].
pub const COMMAND: &str = "compile-component";

/// Bytes of the child's standard error that are kept.
const STDERR_BYTES: u64 = 16 * 1024;

/// Added to the child's `nice`, which it inherits from the thread that starts it.
const NICE: i32 = 5;

static IN_CHILDREN: AtomicBool = AtomicBool::new(false);

/// From now on this process compiles components in child processes: it runs its own program with [`COMMAND`].
pub fn in_child_processes() {
    IN_CHILDREN.store(true, Ordering::Relaxed);
}

/// Compiles a component to the code that the cache stores.
pub(super) async fn compile(engine: &WasmEngine, bytes: &Bytes) -> Result<Vec<u8>, LoadError> {
    if IN_CHILDREN.load(Ordering::Relaxed) {
        // On the runtime that compiles, because starting a process blocks its thread, and the result is several MiB of code. Dropping the
        // future ends the child. A panic is an error of this component only.
        let mut child = JoinSet::new();
        child.spawn_on(timeout(2 * COMPILE_TIME, in_child(engine.reservation(), bytes.clone())), &engine.threads());
        match child.join_next().await {
            Some(Ok(Ok(Ok((status, code, words))))) => return code_or_error(status, code, &words),
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
    compiled.map_err(|error| does_not_compile(format!("{error:#}")))
}

/// Makes a component of compiled code.
pub(super) fn deserialize(engine: &WasmEngine, code: &[u8]) -> Result<Compiled, LoadError> {
    #[allow(
        unsafe_code,
        reason = "this process has compiled it just now, or a child that is this same program; wasmtime refuses code of another engine"
    )]
    // SAFETY: see the reason above.
    let component = unsafe { Compiled::deserialize(engine.wasmtime(), code) };
    component.map_err(|error| LoadError::Compile(format!("{error:#}")))
}

/// Runs the child. Returns its exit status, standard output and standard error.
async fn in_child(reservation: u64, bytes: Bytes) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    // The running program, even if its file was replaced since the start.
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
    let mut child = Command::new(program);
    child.arg(COMMAND).arg(reservation.to_string()).env_clear().kill_on_drop(true);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let gone = || io::Error::other("a process without its pipes");
    let mut stdin = child.stdin.take().ok_or_else(gone)?;
    let stdout = child.stdout.take().ok_or_else(gone)?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    let (mut code, mut errors) = (Vec::new(), Vec::new());
    let written = async move {
        // If the child ends early, its standard error says why.
        let _ = stdin.write_all(&bytes).await;
    };
    let most = COMPILED_CODE_BYTES as u64 + 1;
    let read = async { stdout.take(most).read_to_end(&mut code).await };
    let read_errors = async { stderr.take(STDERR_BYTES).read_to_end(&mut errors).await };
    let ((), read, read_errors) = tokio::join!(written, read, read_errors);
    let status = child.wait().await?;
    read.and(read_errors)?;
    Ok((status, code, errors))
}

fn code_or_error(status: ExitStatus, code: Vec<u8>, errors: &[u8]) -> Result<Vec<u8>, LoadError> {
    use std::os::unix::process::ExitStatusExt as _;
    if code.len() > COMPILED_CODE_BYTES {
        let most = Size(COMPILED_CODE_BYTES as u64);
        return Err(hit(names::COMPILED_CODE_BYTES, &format!("its compiled code has more than {most}")));
    }
    if status.success() {
        return Ok(code);
    }
    let errors = String::from_utf8_lossy(errors);
    let errors = errors.trim();
    let ended_by = |signal: Signal| status.signal() == Some(signal.as_raw());
    Err(if ended_by(Signal::XCPU) {
        took_too_long()
    } else if ended_by(Signal::ABORT) || errors.contains("Cannot allocate memory") {
        let most = Size(COMPILE_MEMORY_BYTES);
        hit(names::COMPILE_MEMORY, &format!("compiling it takes more than {most}"))
    } else if let Some(signal) = status.signal() {
        LoadError::Compile(format!("the process that compiled it was ended by signal {signal}"))
    } else {
        does_not_compile(errors.to_owned())
    })
}

/// Says what to do where a tool chain has made a component whose calls are asynchronous.
fn does_not_compile(error: String) -> LoadError {
    let advice = if error.contains("component model async") {
        "; plugins handle one event at a time: build it for synchronous calls (componentize-qjs: --sync)"
    } else {
        ""
    };
    LoadError::Compile(text::cut(error) + advice)
}

fn took_too_long() -> LoadError {
    hit(names::COMPILE_TIME, &format!("compiling it takes longer than {COMPILE_TIME:?}"))
}

fn hit(limit: LimitName, text: &str) -> LoadError {
    LoadError::Compile(format!("the limit \"{limit}\" is reached: {text}"))
}

/// The child process: compiles a component from standard input to standard output, with bounded address space and CPU time.
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
        // The host's own limit may be lower.
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
            (
                ExitStatus::from_raw(1 << 8),
                "`task.cancel` requires the component model async feature",
                "feature; plugins handle one event at a time: build it for synchronous calls (componentize-qjs: --sync)",
            ),
        ] {
            let error = code_or_error(status, Vec::new(), words.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
        assert_eq!(code_or_error(ExitStatus::from_raw(0), vec![1], b"").unwrap(), [1]);
    }
}
