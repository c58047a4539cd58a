//! Settings that people use most, each as a call with a type: limits, sandboxing, restarts. They are assignments, read by
//! the same tables as those of [`Command::property`].

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::{Command, words};
use crate::bus::{Signature, Value};
use crate::error::{Error, Result};

/// The words of a setting, as an enum.
macro_rules! choices {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$what])* $variant,)*
        }

        impl $name {
            /// systemd's word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }
    };
}

choices! {
    /// After which ends systemd starts a service again, for [`Command::restart`] (`Restart=`, `systemd.service(5)`).
    Restart {
        /// After none. What systemd takes by itself.
        No = "no",
        /// After one that is a success.
        OnSuccess = "on-success",
        /// After an exit code other than 0, a signal, a timeout or the watchdog.
        OnFailure = "on-failure",
        /// After a signal, a timeout or the watchdog.
        OnAbnormal = "on-abnormal",
        /// After the watchdog.
        OnWatchdog = "on-watchdog",
        /// After a signal.
        OnAbort = "on-abort",
        /// After any, but not when it is stopped.
        Always = "always",
    }
}

choices! {
    /// Which folders are read-only for a unit, for [`Command::protect_system`] (`ProtectSystem=`, `systemd.exec(5)`).
    ProtectSystem {
        /// None. What systemd takes by itself.
        No = "no",
        /// `/usr`, `/boot` and `/efi`.
        Yes = "yes",
        /// `/etc` too.
        Full = "full",
        /// Everything but `/dev`, `/proc` and `/sys`.
        Strict = "strict",
    }
}

choices! {
    /// What a unit sees of `/home`, `/root` and `/run/user`, for [`Command::protect_home`] (`ProtectHome=`,
    /// `systemd.exec(5)`).
    ProtectHome {
        /// Everything. What systemd takes by itself.
        No = "no",
        /// Empty folders that cannot be entered.
        Yes = "yes",
        /// Everything, but cannot write.
        ReadOnly = "read-only",
        /// Empty temporary file systems.
        Tmpfs = "tmpfs",
    }
}

choices! {
    /// Which processes are killed when a unit stops, for [`Command::kill_mode`] (`KillMode=`, `systemd.kill(5)`).
    KillMode {
        /// All of them. What systemd takes by itself.
        ControlGroup = "control-group",
        /// The main one with SIGTERM, and what remains with SIGKILL.
        Mixed = "mixed",
        /// The main one alone: the others go on, without a unit.
        Process = "process",
        /// None.
        None = "none",
    }
}

/// Limits of resources (`systemd.resource-control(5)`, `systemd.exec(5)`).
impl Command {
    /// The memory that it may use, in bytes (`MemoryMax=`): with more it is killed, as
    /// [`Outcome::OomKill`](crate::Outcome::OomKill). A share of the machine's is `property("MemoryMax=50%")`.
    pub fn memory_max(&mut self, bytes: u64) -> &mut Self {
        self.assign("MemoryMax", bytes)
    }

    /// The memory above which it is slowed down, in bytes (`MemoryHigh=`).
    pub fn memory_high(&mut self, bytes: u64) -> &mut Self {
        self.assign("MemoryHigh", bytes)
    }

    /// The swap that it may use, in bytes (`MemorySwapMax=`).
    pub fn memory_swap_max(&mut self, bytes: u64) -> &mut Self {
        self.assign("MemorySwapMax", bytes)
    }

    /// The CPU time that it may use, in percent of one CPU (`CPUQuota=`): 150 is one and a half.
    pub fn cpu_quota(&mut self, percent: u32) -> &mut Self {
        self.assign("CPUQuota", format_args!("{percent}%"))
    }

    /// Its share of the CPUs when others want them too (`CPUWeight=`): 1 to 10000, by default 100.
    pub fn cpu_weight(&mut self, weight: u32) -> &mut Self {
        self.assign("CPUWeight", weight)
    }

    /// Its share of the disks when others want them too (`IOWeight=`): 1 to 10000, by default 100.
    pub fn io_weight(&mut self, weight: u32) -> &mut Self {
        self.assign("IOWeight", weight)
    }

    /// How many processes and threads it may have (`TasksMax=`).
    pub fn tasks_max(&mut self, tasks: u64) -> &mut Self {
        self.assign("TasksMax", tasks)
    }

    /// How many descriptors each of its processes may have (`LimitNOFILE=`).
    pub fn open_files_max(&mut self, files: u64) -> &mut Self {
        self.assign("LimitNOFILE", files)
    }

    /// How willingly the kernel kills it when memory is short (`OOMScoreAdjust=`): -1000, never, to 1000, first.
    pub fn oom_score_adjust(&mut self, score: i32) -> &mut Self {
        if !(-1000..=1000).contains(&score) {
            self.refuse(Error::invalid("oom_score_adjust", score.to_string(), "is not between -1000 and 1000"));
            return self;
        }
        self.assign("OOMScoreAdjust", score)
    }
}

/// Sandboxing (`systemd.exec(5)`).
impl Command {
    /// Gives it a `/tmp` and a `/var/tmp` of its own (`PrivateTmp=`).
    pub fn private_tmp(&mut self, private: bool) -> &mut Self {
        self.assign("PrivateTmp", private)
    }

    /// Gives it a network of its own, with nothing but a loopback device (`PrivateNetwork=`).
    pub fn private_network(&mut self, private: bool) -> &mut Self {
        self.assign("PrivateNetwork", private)
    }

    /// Gives it a `/dev` of its own, without physical devices (`PrivateDevices=`).
    pub fn private_devices(&mut self, private: bool) -> &mut Self {
        self.assign("PrivateDevices", private)
    }

    /// Makes the system's folders read-only for it (`ProtectSystem=`).
    pub fn protect_system(&mut self, protect: ProtectSystem) -> &mut Self {
        self.assign("ProtectSystem", protect.as_str())
    }

    /// Hides the folders of users from it (`ProtectHome=`).
    pub fn protect_home(&mut self, protect: ProtectHome) -> &mut Self {
        self.assign("ProtectHome", protect.as_str())
    }

    /// Runs it as a user that exists only as long as it runs (`DynamicUser=`).
    pub fn dynamic_user(&mut self, dynamic: bool) -> &mut Self {
        self.assign("DynamicUser", dynamic)
    }

    /// Has no program that it executes give it more privileges, as set-user-ID programs do (`NoNewPrivileges=`).
    pub fn no_new_privileges(&mut self, none: bool) -> &mut Self {
        self.assign("NoNewPrivileges", none)
    }

    /// Makes an absolute path read-only for it (`ReadOnlyPaths=`). Several add up.
    pub fn read_only_path(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.assign_path("ReadOnlyPaths", path.as_ref())
    }

    /// Leaves an absolute path writable for it, below others that are not (`ReadWritePaths=`). Several add up.
    pub fn read_write_path(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.assign_path("ReadWritePaths", path.as_ref())
    }

    /// Hides an absolute path from it (`InaccessiblePaths=`). Several add up.
    pub fn inaccessible_path(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.assign_path("InaccessiblePaths", path.as_ref())
    }

    /// Which access the files that it makes do not give (`UMask=`).
    pub fn umask(&mut self, mask: u32) -> &mut Self {
        self.assign("UMask", format_args!("{mask:o}"))
    }

    /// Hands a secret to it, in the file `$CREDENTIALS_DIRECTORY/NAME`, which only it can read (`SetCredential=`). Since
    /// systemd 247. This is the way for secrets (`systemd.exec(5)`, "Credentials"): unlike an environment variable it is not
    /// inherited by every process that the program starts, is never swapped out, and is gone with the unit. sdrun shows it in
    /// no error, log line or `Debug`.
    ///
    /// It is part of the unit, though, where root can read it (`systemctl show`, `/run/systemd/transient`), and it passes over
    /// the bus: [`load_credential`](Command::load_credential) avoids both. systemd takes 1 MiB of credentials for one unit at
    /// most, 257 and later less: with more the unit fails ([`Outcome::Resources`](crate::Outcome::Resources), or exit code
    /// 243).
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// # let token = "";
    /// sdrun::Command::from(["/bin/sh", "-c", "exec uploader --token-file \"$CREDENTIALS_DIRECTORY/token\""])
    ///     .set_credential("token", token)
    ///     .status()
    ///     .await?
    ///     .check()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_credential(&mut self, name: impl AsRef<str>, secret: impl AsRef<[u8]>) -> &mut Self {
        let name = words::credential(name.as_ref());
        if let Some(name) = self.accept(name) {
            let credential = Value::Struct(vec![Value::Str(name), Value::Bytes(secret.as_ref().into())]);
            let element = Signature::new("(say)").expect("a valid signature");
            self.extra("SetCredential", Value::Array(element, vec![credential]));
        }
        self
    }

    /// Has systemd hand it a secret from a file that is named by an absolute path, or from a socket there
    /// (`LoadCredential=`): as [`set_credential`](Command::set_credential), but the secret passes through no message, and is
    /// read when the unit starts. The file is one of the manager's host, which the manager can read; without it the unit ends
    /// with exit code 243. Its path may hold no blank and no backslash.
    pub fn load_credential(&mut self, name: impl AsRef<str>, path: impl AsRef<Path>) -> &mut Self {
        let both = words::credential(name.as_ref()).and_then(|name| Ok((name, words::credential_file(path.as_ref())?)));
        if let Some((name, path)) = self.accept(both) {
            let element = Signature::new("(ss)").expect("a valid signature");
            let credential = Value::Struct(vec![Value::Str(name), Value::Str(path)]);
            self.extra("LoadCredential", Value::Array(element, vec![credential]));
        }
        self
    }
}

/// The service's life (`systemd.service(5)`, `systemd.kill(5)`, `systemd.unit(5)`).
impl Command {
    /// Has systemd start it again when it has ended (`Restart=`). Its handle resolves at the last end: when systemd gives
    /// up ([`start_limit`](Command::start_limit)), the policy does not hold, or it is stopped.
    pub fn restart(&mut self, restart: Restart) -> &mut Self {
        self.assign("Restart", restart.as_str())
    }

    /// How long systemd waits before it starts it again (`RestartSec=`); by default 100 ms.
    pub fn restart_delay(&mut self, delay: Duration) -> &mut Self {
        self.assign_span("RestartSec", delay)
    }

    /// How often it may be started within a time before systemd gives up (`StartLimitBurst=`,
    /// `StartLimitIntervalSec=`); by default 5 times in 10 s. A time of zero is no limit; at least one start must be allowed.
    pub fn start_limit(&mut self, starts: u32, within: Duration) -> &mut Self {
        if starts == 0 {
            self.refuse(Error::invalid("start_limit", "0", "would allow no start, and systemd takes it for no limit"));
            return self;
        }
        self.assign("StartLimitBurst", starts).assign_span("StartLimitIntervalSec", within)
    }

    /// Has systemd kill it, as [`Outcome::Watchdog`](crate::Outcome::Watchdog), when it has not said that it is alive for
    /// so long (`WatchdogSec=`; `WATCHDOG=1`, `sd_notify(3)`). It may not be zero.
    pub fn watchdog(&mut self, longest: Duration) -> &mut Self {
        self.assign_limit("watchdog", "WatchdogSec", longest)
    }

    /// How long its start may take (`TimeoutStartSec=`); by default 90 s, and for a oneshot as long as it likes. [`Duration::MAX`] is
    /// no limit; zero is refused, since systemd takes that for no limit, too.
    pub fn timeout_start(&mut self, longest: Duration) -> &mut Self {
        self.assign_limit("timeout_start", "TimeoutStartSec", longest)
    }

    /// How long its stop may take before it gets SIGKILL (`TimeoutStopSec=`); by default 90 s. [`Duration::MAX`] is no
    /// limit, zero is refused: see [`timeout_start`](Command::timeout_start).
    pub fn timeout_stop(&mut self, longest: Duration) -> &mut Self {
        self.assign_limit("timeout_stop", "TimeoutStopSec", longest)
    }

    /// Which of its processes are killed when it stops (`KillMode=`).
    pub fn kill_mode(&mut self, mode: KillMode) -> &mut Self {
        self.assign("KillMode", mode.as_str())
    }

    /// The signal that stops it, by its number (`KillSignal=`); by default SIGTERM.
    pub fn kill_signal(&mut self, signal: i32) -> &mut Self {
        self.assign("KillSignal", signal)
    }

    /// Starts it only after this unit, where that is being started (`After=`).
    pub fn after(&mut self, unit: impl AsRef<str>) -> &mut Self {
        self.assign("After", unit.as_ref())
    }

    /// Starts this unit with it, and stops it when that one stops (`Requires=`, `systemd.unit(5)`).
    pub fn requires(&mut self, unit: impl AsRef<str>) -> &mut Self {
        self.assign("Requires", unit.as_ref())
    }

    /// Starts this unit with it (`Wants=`).
    pub fn wants(&mut self, unit: impl AsRef<str>) -> &mut Self {
        self.assign("Wants", unit.as_ref())
    }
}

impl Command {
    /// What cannot be sent is remembered, as with all setters.
    fn assign(&mut self, name: &str, value: impl Display) -> &mut Self {
        let assigned = self.property(format!("{name}={value}")).map(|_| ());
        self.accept(assigned);
        self
    }

    fn assign_span(&mut self, name: &str, span: Duration) -> &mut Self {
        let microseconds = span.as_nanos().div_ceil(1000);
        if microseconds >= u128::from(u64::MAX) {
            self.assign(name, "infinity")
        } else {
            self.assign(name, format_args!("{microseconds}us"))
        }
    }

    /// A limit of time that systemd takes for none where it is zero.
    fn assign_limit(&mut self, what: &'static str, name: &str, span: Duration) -> &mut Self {
        if span.is_zero() {
            let reason = "is no time at all, and systemd takes it for no limit, which is Duration::MAX";
            self.refuse(Error::invalid(what, "0s", reason));
            return self;
        }
        self.assign_span(name, span)
    }

    /// A path in a list: what would split it is quoted.
    fn assign_path(&mut self, name: &str, path: &Path) -> &mut Self {
        match self.accept(quoted(path)) {
            Some(path) => self.assign(name, path),
            None => self,
        }
    }
}

fn quoted(path: &Path) -> Result<String> {
    let path = words::absolute_path(path)?;
    Ok(format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\"")))
}
