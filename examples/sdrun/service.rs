//! The command as a service: started, waited for, listened to.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Component, Path};
use std::process::ExitCode;
use std::sync::Arc;

use sdrun::{
    Command, Error as SdrunError, Exit, Forwarded, Manager, Outcome, Properties, Stdio, Unit, UnitType, Value,
};
use sdrun_sys::mount::clone_tree;

use crate::options::{Json, Options, Streams};
use crate::say::{as_json, running, say};
use crate::{connect, mangled, program, summary, verbose};

pub fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let name = options.unit.as_ref().map(|unit| mangled(unit, "service", options)).transpose()?;
    let mut command = command(options, name.as_deref())?;
    // One connection and one unit: more threads than this one would have nothing to do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let manager = connect(options).await?;
        let mut unit = start(&mut command, options, &manager).await?;
        if options.verbose {
            let logs = unit.logs();
            verbose::alongside(logs, options, follow(&mut unit, options)).await
        } else {
            Ok(follow(&mut unit, options).await?.code)
        }
    })
}

/// How it went.
pub struct Followed {
    pub code: ExitCode,
    /// Whether the unit's end was waited for, or just its start.
    pub has_ended: bool,
}

async fn follow(unit: &mut Unit, options: &Options) -> Result<Followed, Box<dyn Error>> {
    let until_end = options.wait || options.forwards();
    let left = |code| Ok(Followed { code, has_ended: false });
    if !until_end {
        let failed = if options.no_block { None } else { failed_start(unit, options).await? };
        if let Some(code) = failed {
            return Ok(Followed { code, has_ended: true });
        }
        running(options, unit);
        as_json(options, unit);
        return left(ExitCode::SUCCESS);
    }
    let forwarded = options.streams() == Streams::Pty;
    if forwarded && options.pty_late {
        // What becomes of a start that fails, its end says.
        let _ = unit.activated().await;
    }
    running(options, unit);
    // Kept until the end: closed, it would hang the command's terminal up.
    let mut _terminal = None;
    if forwarded {
        if !options.quiet {
            say("Press ^] three times within 1s to disconnect TTY.");
        }
        match unit.forward_terminal(std::io::stdin(), std::io::stdout()).await? {
            Forwarded::Ended => {}
            Forwarded::Disconnected(terminal) if options.wait => _terminal = Some(terminal),
            Forwarded::Disconnected(_) => return left(ExitCode::SUCCESS),
        }
    }
    let exit = unit.wait().await?;
    if options.wait && !options.quiet {
        summary::lines(&exit).for_each(say);
    }
    // Also with --quiet: the exit status does not say it.
    not_run(&exit, options);
    if options.json != Json::Off {
        as_json(options, unit);
    }
    Ok(Followed { code: summary::exit_code(&exit).into(), has_ended: true })
}

/// Waits until the start is done, and what to exit with when it has failed.
async fn failed_start(unit: &Unit, options: &Options) -> sdrun::Result<Option<ExitCode>> {
    let exit = match unit.activated().await {
        Ok(()) => return Ok(None),
        Err(SdrunError::Failed { exit }) => exit,
        Err(error) => return Err(error),
    };
    // Not started, as the condition wants it: to systemd-run too that is a success.
    if matches!(exit.result, Outcome::Condition | Outcome::ExecCondition) {
        not_run(&exit, options);
        return Ok(None);
    }
    if !options.quiet {
        say(format_args!("sdrun: the start of {} has failed: {exit}", unit.name()));
    }
    Ok(Some(ExitCode::FAILURE))
}

fn not_run(exit: &Exit, options: &Options) {
    if let Some(reason) = summary::why_not_run(exit) {
        say(format_args!("sdrun: {} was not run: {reason}", options.command[0].to_string_lossy()));
    }
}

/// The property of systemd 259 and later for a root directory that need not be where the manager sees one.
const ROOT_AS_MOUNTS: &str = "RootDirectoryFileDescriptor";

/// Starts it in the root directory that --root-directory means: the one that is seen here. Before systemd 259, and for who
/// may not copy mounts (an ordinary user), that is the one that the manager sees by the same path.
async fn start(command: &mut Command, options: &Options, manager: &Manager) -> Result<Unit, Box<dyn Error>> {
    let Some(root) = &options.root else { return Ok(command.start(manager).await?) };
    let path = std::ffi::CString::new(root.as_os_str().as_encoded_bytes())?;
    match clone_tree(&path) {
        Ok(tree) => {
            let mut with_mounts = command.clone();
            match with_mounts.extra(ROOT_AS_MOUNTS, Value::Fd(Arc::new(tree))).start(manager).await {
                Err(SdrunError::Call { message, .. }) if message.contains(ROOT_AS_MOUNTS) => {}
                started => return Ok(started?),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(format!("Failed to clone mount tree at '{}': {error}", root.display()).into()),
    }
    std::fs::metadata(root).map_err(|error| format!("Failed to find the directory '{}': {error}", root.display()))?;
    let root = root.to_str().ok_or_else(|| format!("--root-directory={} is not UTF-8", root.display()))?;
    Ok(command.extra("RootDirectory", root).start(manager).await?)
}

/// The service, as far as it is the same whether it is started at once or by another unit.
pub fn command(options: &Options, name: Option<&str>) -> Result<Command, Box<dyn Error>> {
    let (program, arguments) = options.command.split_first().ok_or("there is no command to run")?;
    let mut command = if options.is_on_this_host() {
        let path = program::find(program)
            .map_err(|errno| format!("Failed to find executable {}: {}", program.to_string_lossy(), errno.desc()))?;
        Command::new(path)
    } else {
        Command::new(program)
    };
    command
        .args(arguments)
        .collect(options.collect)
        .slice_inherit(options.slice_inherit)
        .remain_after_exit(options.remain_after_exit)
        .expand_environment(options.expand_environment.unwrap_or(true))
        .ignore_failure(options.ignore_failure)
        .job_mode(options.job_mode)
        .usage(options.wait && !options.quiet);
    if let Some(name) = name {
        command.name(name);
    }
    if let Some(description) = &options.description {
        command.description(description);
    }
    // An empty value is that of no such option.
    if let Some(user) = options.uid.as_ref().filter(|user| !user.is_empty()) {
        command.user(user);
    }
    if let Some(group) = options.gid.as_ref().filter(|group| !group.is_empty()) {
        command.group(group);
    }
    if let Some(level) = options.nice {
        command.nice(level);
    }
    if let Some(slice) = &options.slice {
        command.slice(mangled(slice, "slice", options)?);
    }
    if let Some(service_type) = &options.service_type {
        // As text: which there are is for systemd to say.
        command.extra("Type", service_type.as_str());
    }
    if options.send_sighup {
        command.extra("SendSIGHUP", true);
    }
    if let Some(directory) = &options.directory {
        command.current_dir(checked(directory)?);
    }
    set_properties(&mut command, options)?;
    stream(&mut command, options);
    Ok(command)
}

/// Sets what --property says, but what an option of its own says too: to systemd-run that comes later.
fn set_properties(command: &mut Command, options: &Options) -> Result<(), Box<dyn Error>> {
    let overridden = |assignment: &str| match assignment.split('=').next().unwrap_or_default() {
        "Group" => options.gid.as_ref().is_some_and(|group| !group.is_empty()),
        "Nice" => options.nice.is_some(),
        "RemainAfterExit" => options.remain_after_exit,
        "SendSIGHUP" => options.send_sighup,
        "Slice" => options.slice.is_some() || options.slice_inherit,
        "Type" => options.service_type.is_some(),
        "User" => options.uid.as_ref().is_some_and(|user| !user.is_empty()),
        "WorkingDirectory" => options.directory.is_some(),
        _ => false,
    };
    for assignment in &options.properties {
        if overridden(assignment) {
            // Nonsense is refused all the same.
            Properties::new(UnitType::Service).set(assignment)?;
        } else {
            command.property(assignment)?;
        }
    }
    let variables = || options.environment.iter().map(|(name, value)| (name, value));
    let set_before = options.properties.iter().any(|assignment| assignment.starts_with("Environment="));
    if !set_before {
        command.envs(variables());
        return Ok(());
    }
    let texts = variables().map(|(name, value)| match (name.to_str(), value.to_str()) {
        (Some(name), Some(value)) if is_variable(name) => Ok(format!("{name}={value}")),
        _ => Err(format!("Cannot assign environment variable {}", name.to_string_lossy())),
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    if !texts.is_empty() {
        command.extra("Environment", texts);
    }
    Ok(())
}

fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The library would resolve `..`; to systemd-run, and so here, it is a mistake.
fn checked(directory: &Path) -> Result<&Path, String> {
    match directory.components().any(|part| part == Component::ParentDir) {
        true => Err(format!("--working-directory={}: \"..\" is not allowed", directory.display())),
        false => Ok(directory),
    }
}

fn stream(command: &mut Command, options: &Options) {
    match options.streams() {
        Streams::Service => return,
        Streams::Pty => {
            command.pty();
        }
        Streams::Pipe => {
            command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        }
    }
    // What a program wants to know of the terminal that it writes to.
    for name in ["TERM", "COLORTERM", "NO_COLOR"] {
        let is_set = options.environment.iter().any(|(key, _): &(OsString, _)| key == name);
        // What is not UTF-8 is no value that these have.
        if let (false, Ok(value)) = (is_set, std::env::var(name)) {
            command.env(name, value);
        }
    }
}
