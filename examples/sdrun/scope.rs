//! `--scope`: this process goes into a scope and becomes the command.

use std::error::Error;
use std::ffi::{CString, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, initgroups, setgroups, setresgid, setresuid};
use sdrun::Scope;
use sdrun_sys::process::set_nice;

use crate::expand::{Expanded, expand};
use crate::options::Options;
use crate::say::{running, say};
use crate::{connect, mangled, program};

/// Returns only where that fails.
pub fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let (name, arguments) = options.command.split_first().ok_or("there is no command to run")?;
    let path = program::find(name)
        .map_err(|errno| format!("Failed to find executable {}: {}", name.to_string_lossy(), errno.desc()))?;
    let scope = scope(options)?;
    let invocation_id = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let manager = connect(options).await?;
            let unit = scope.around([std::process::id()], &manager).await?;
            running(options, &unit);
            Ok::<_, Box<dyn Error>>(unit.invocation_id())
        })?
    };
    let mut command = Command::new(path);
    if let Some(id) = invocation_id {
        command.env("INVOCATION_ID", id.to_string());
    }
    if let Some(level) = options.nice {
        set_nice(level).map_err(|error| format!("Failed to set nice level: {error}"))?;
    }
    for (name, value) in become_user(options)? {
        command.env(name, value);
    }
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    if let Some(directory) = &options.directory {
        std::env::set_current_dir(directory)
            .map_err(|error| format!("Failed to change directory to '{}': {error}", directory.display()))?;
    }
    if options.expand_environment.unwrap_or(true) {
        let set: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(OsString::from))).collect();
        let value = |name: &str| match set.iter().find(|(other, _)| other == name) {
            Some((_, value)) => value.clone(),
            None => std::env::var_os(name),
        };
        let expanded = expand(arguments, value);
        tell_missing(&expanded);
        command.args(expanded.arguments);
    } else {
        command.args(arguments);
    }
    let error = command.exec();
    Err(format!("Failed to execute {}: {error}", PathBuf::from(command.get_program()).display()).into())
}

fn scope(options: &Options) -> Result<Scope, Box<dyn Error>> {
    let mut scope = Scope::new();
    scope.collect(options.collect).slice_inherit(options.slice_inherit).job_mode(options.job_mode);
    if let Some(unit) = &options.unit {
        scope.name(mangled(unit, "scope", options)?);
    }
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    scope.description(match &options.description {
        Some(description) => description.clone(),
        None => options.command.iter().map(text).collect::<Vec<_>>().join(" ").replace(['\n', '\\'], " "),
    });
    if let Some(slice) = &options.slice {
        scope.slice(mangled(slice, "slice", options)?);
    }
    if options.send_sighup {
        scope.extra("SendSIGHUP", true);
    }
    for assignment in &options.properties {
        scope.property(assignment)?;
    }
    Ok(scope)
}

fn tell_missing(expanded: &Expanded) {
    let names = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    if !expanded.unset.is_empty() {
        let names = names(&expanded.unset);
        say(format_args!("Referenced but unset environment variable evaluates to an empty string: {names}"));
    }
    if !expanded.invalid.is_empty() {
        let names = names(&expanded.invalid);
        say(format_args!("Invalid environment variable name evaluates to an empty string: {names}"));
    }
}

/// Becomes whom --uid and --gid say, and what the environment has to say about that user.
fn become_user(options: &Options) -> Result<Vec<(&'static str, OsString)>, String> {
    let user = options.uid.as_deref().map(user).transpose()?;
    let group = options.gid.as_deref().map(group).transpose()?;
    let Some(gid) = group.or(user.as_ref().map(|user| user.gid)) else { return Ok(Vec::new()) };
    match &user {
        Some(user) if user.uid == geteuid() && gid == getegid() && !geteuid().is_root() => {}
        Some(user) => {
            let name =
                CString::new(user.name.clone()).map_err(|_| format!("Failed to resolve user '{}'", user.name))?;
            initgroups(&name, gid).map_err(|errno| {
                format!("Failed to initialize supplementary groups for user '{}': {}", user.name, errno.desc())
            })?;
        }
        None => setgroups(&[gid]).map_err(|errno| format!("Failed to drop supplementary groups: {}", errno.desc()))?,
    }
    setresgid(gid, gid, gid).map_err(|errno| format!("Failed to change GID to {gid}: {}", errno.desc()))?;
    let Some(user) = user else { return Ok(Vec::new()) };
    let uid = user.uid;
    setresuid(uid, uid, uid).map_err(|errno| format!("Failed to change UID to {uid}: {}", errno.desc()))?;
    let name = OsString::from(user.name);
    Ok(vec![("HOME", user.dir.into()), ("USER", name.clone()), ("LOGNAME", name)])
}

fn user(text: &str) -> Result<User, String> {
    if text.is_empty() {
        return Err("Failed to resolve user '': Invalid argument".into());
    }
    let found = match text.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(text),
    };
    match found {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(format!("Failed to resolve user '{text}': Unknown user")),
        Err(errno) => Err(format!("Failed to resolve user '{text}': {}", errno.desc())),
    }
}

fn group(text: &str) -> Result<Gid, String> {
    if text.is_empty() {
        return Err("Failed to resolve group '': Invalid argument".into());
    }
    if let Ok(gid) = text.parse() {
        return Ok(Gid::from_raw(gid));
    }
    match Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(format!("Failed to resolve group '{text}': Unknown group")),
        Err(errno) => Err(format!("Failed to resolve group '{text}': {}", errno.desc())),
    }
}
