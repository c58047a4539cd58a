//! What an exit is to whoever called: lines on stderr, and a status.

use nix::libc;
use nix::sys::signal::Signal;
use sdrun::{Exit, Outcome, Status, Usage};

use crate::size::size;
use crate::timespan::timespan;

/// The lines that systemd-run prints at the end.
pub fn lines(exit: &Exit) -> impl Iterator<Item = String> {
    let result = format!("Finished with result: {}", exit.result);
    let main = exit.status.map(|status| format!("Main processes terminated with: {}", code_and_status(status)));
    let runtime = exit.runtime.map(|runtime| format!("Service runtime: {}", timespan(runtime)));
    [Some(result), main, runtime].into_iter().flatten().chain(exit.usage.iter().flat_map(usage_lines))
}

/// What was counted, and is not nothing.
fn usage_lines(usage: &Usage) -> impl Iterator<Item = String> {
    let some = |bytes: Option<u64>| bytes.filter(|bytes| *bytes > 0).map(size);
    let two = |what: &str, [first, second]: [(&str, Option<u64>); 2]| {
        let parts = [first, second].map(|(name, bytes)| some(bytes).map(|size| format!("{name}: {size}")));
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("{what} {}", parts.join(", ")))
    };
    let swap = some(usage.memory_swap_peak).map_or(String::new(), |size| format!(" (swap: {size})"));
    let lines = [
        usage.cpu.map(|time| format!("CPU time consumed: {}", timespan(time))),
        usage.memory_peak.map(|bytes| format!("Memory peak: {}{swap}", size(bytes))),
        two("IP traffic", [("received", usage.ip_received), ("sent", usage.ip_sent)]),
        two("IO bytes", [("read", usage.io_read), ("written", usage.io_written)]),
    ];
    lines.into_iter().flatten()
}

fn code_and_status(status: Status) -> String {
    match status {
        Status::Exited(code) => format!("code=exited/status={code}"),
        Status::Killed(signal) => format!("code=killed/status={}", signal_name(signal)),
        Status::Dumped(signal) => format!("code=dumped/status={}", signal_name(signal)),
    }
}

/// As systemd writes it: without the `SIG`.
fn signal_name(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").into(),
        Err(_) if signal >= libc::SIGRTMIN() => format!("RTMIN+{}", signal - libc::SIGRTMIN()),
        Err(_) => signal.to_string(),
    }
}

/// Why the program was never run, where systemd-run's exit status makes a success of that.
pub fn why_not_run(exit: &Exit) -> Option<&'static str> {
    match exit.result {
        Outcome::Condition => Some("a condition of the unit was not met"),
        Outcome::Assert => Some("an assertion of the unit failed"),
        Outcome::Canceled => Some("the start of the unit was cancelled"),
        Outcome::Dependency => Some("a unit that this one requires failed"),
        Outcome::Timeout if exit.started.is_none() => Some("the start of the unit took too long"),
        _ => None,
    }
}

/// systemd-run's exit status.
pub fn exit_code(exit: &Exit) -> u8 {
    const FAILURE: u8 = 1;
    const EXCEPTION: u8 = 255;
    match exit.result {
        Outcome::Success => 0,
        _ if why_not_run(exit).is_some() => 0,
        // The code, or the signal where it is another process of the unit that returned a code.
        Outcome::ExitCode => match exit.status {
            Some(Status::Exited(code)) if code > 0 => code,
            Some(Status::Killed(signal) | Status::Dumped(signal)) => u8::try_from(signal).unwrap_or(FAILURE),
            Some(Status::Exited(_)) | None => FAILURE,
        },
        Outcome::Signal => EXCEPTION,
        _ => FAILURE,
    }
}
