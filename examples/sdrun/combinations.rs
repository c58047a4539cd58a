//! Which options do not go together, with systemd-run's words for it.

use crate::options::{Options, Place};

/// Whether an assignment says when a timer elapses.
pub fn elapses(assignment: &str) -> bool {
    const SETTINGS: [&str; 8] = [
        "OnActiveSec=",
        "OnBootSec=",
        "OnStartupSec=",
        "OnUnitActiveSec=",
        "OnUnitInactiveSec=",
        "OnCalendar=",
        "OnTimezoneChange=",
        "OnClockChange=",
    ];
    SETTINGS.iter().any(|setting| assignment.starts_with(setting))
}

/// What is looked at first.
pub fn check_triggers(options: &Options) -> Result<(), String> {
    let kinds = [&options.paths, &options.sockets, &options.timers].into_iter().filter(|kind| !kind.is_empty());
    first([
        (
            !options.timers.is_empty() && !options.timer_elapses,
            "--timer-property= set without any timer trigger expression (i.e. On*= setting), refusing.",
        ),
        (kinds.count() > 1, "Only single trigger (path, socket, timer) unit can be created."),
    ])
}

/// The rest, in systemd-run's order: where several apply, it is the same one that is told.
pub fn check(options: &Options) -> Result<(), String> {
    let Options { user, scope, no_block, wait, remain_after_exit: remain, .. } = *options;
    let remote = matches!(options.place, Place::Host(_));
    let trigger = options.trigger().is_some();
    let json = options.json != crate::options::Json::Off;
    let forwards = options.forwards();
    let only_service = remain || options.service_type.is_some() || options.ignore_failure;
    let late_only = options.pty_late && !options.pipe;
    let exists = trigger && options.unit.is_some();
    first([
        (options.command.is_empty() && !exists, "Command line to execute required."),
        (user && remote, "Execution in user context is not supported on remote systems."),
        (scope && remote, "Scope execution is not supported on remote systems."),
        (
            scope && only_service,
            "--remain-after-exit, --service-type= and --ignore-failure are not supported in --scope mode.",
        ),
        (scope && no_block, "--no-block is not supported in --scope mode."),
        (
            forwards && (trigger || scope),
            "--pty/--pty-late/--pipe is not compatible in trigger (path/socket/timer units) or --scope mode.",
        ),
        (
            forwards && remote,
            "--pty/--pty-late/--pipe is only supported when connecting to the local system or containers.",
        ),
        (forwards && no_block, "--pty/--pty-late/--pipe is not compatible with --no-block."),
        (forwards && remain, "--pty/--pty-late/--pipe is not compatible with --remain-after-exit."),
        (
            late_only && options.service_type.as_deref() == Some("oneshot"),
            "--pty-late is not compatible with --service-type=oneshot.",
        ),
        (json && forwards, "--json= is not compatible with --pty/--pty-late/--pipe."),
        (wait && no_block, "--wait may not be combined with --no-block."),
        (scope && trigger, "Path, socket or timer options are not supported in --scope mode."),
        (json && scope, "--json= is not supported in --scope mode."),
        (json && options.verbose, "--json= is not compatible with --verbose."),
        (json && trigger, "--json= is not compatible with path, socket or timer operations."),
        (wait && scope, "--wait may not be combined with --scope."),
        (scope && options.root.is_some(), "--root-directory= is not supported in --scope mode."),
        (wait && trigger, "--wait may not be combined with path, socket or timer operations."),
        (wait && remain, "--wait may not be combined with --remain-after-exit."),
    ])
}

fn first<const N: usize>(refused: [(bool, &str); N]) -> Result<(), String> {
    match refused.into_iter().find(|(together, _)| *together) {
        Some((_, message)) => Err(message.into()),
        None => Ok(()),
    }
}
