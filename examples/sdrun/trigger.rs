//! `--on-…`, `--timer-property`, `--path-property`, `--socket-property`: the command as a service that another unit starts.

use std::error::Error;
use std::process::ExitCode;

use sdrun::{Command, Manager, PathUnit, SocketUnit, TimerUnit, Unit};

use crate::options::{Options, Trigger};
use crate::say::say;
use crate::{connect, mangled, name, service};

impl Trigger {
    /// The type of the unit.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Path => "path",
            Trigger::Socket => "socket",
            Trigger::Timer => "timer",
        }
    }
}

pub fn run(options: &Options, trigger: Trigger) -> Result<ExitCode, Box<dyn Error>> {
    let what = what(options, trigger)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let manager = connect(options).await?;
        let (unit, service) = start(options, trigger, &what, &manager).await?;
        if !options.no_block {
            unit.activated().await?;
        }
        if !options.quiet {
            say(format_args!("Running {} as unit: {}", trigger.as_str(), unit.name()));
            if let Some(service) = service {
                say(format_args!("Will run service as unit: {service}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What is to be started.
enum What {
    Command(Box<Command>),
    /// A service that there is already.
    Service(String),
}

fn what(options: &Options, trigger: Trigger) -> Result<What, Box<dyn Error>> {
    // The name may be that of the unit that triggers.
    let service = match &options.unit {
        Some(unit) => Some(match name::other_type(unit, trigger.as_str())? {
            Some(prefix) => format!("{prefix}.service"),
            None => mangled(unit, "service", options)?,
        }),
        None => None,
    };
    match (service, options.command.is_empty()) {
        (Some(service), true) => Ok(What::Service(service)),
        (service, _) => {
            let command = service::command(options, service.as_deref())?;
            Ok(What::Command(Box::new(command)))
        }
    }
}

/// Sets what the options say of the unit that triggers, and starts it.
macro_rules! start {
    ($unit:expr, $assignments:expr, $options:expr, $what:expr, $manager:expr) => {{
        let mut unit = $unit;
        unit.collect($options.collect);
        for assignment in $assignments {
            unit.property(assignment)?;
        }
        if let Some(description) = &$options.description {
            unit.description(description);
        }
        match $what {
            What::Command(command) => {
                let started = unit.start($manager, command).await?;
                let service = started.service_name().to_owned();
                Ok((started.into_unit(), Some(service)))
            }
            What::Service(service) => Ok((unit.start_for($manager, service, $options.job_mode).await?, None)),
        }
    }};
}

async fn start(
    options: &Options,
    trigger: Trigger,
    what: &What,
    manager: &Manager,
) -> Result<(Unit, Option<String>), Box<dyn Error>> {
    match trigger {
        Trigger::Path => start!(PathUnit::new(), &options.paths, options, what, manager),
        Trigger::Socket => start!(SocketUnit::new(), &options.sockets, options, what, manager),
        Trigger::Timer => start!(TimerUnit::new(), &options.timers, options, what, manager),
    }
}
