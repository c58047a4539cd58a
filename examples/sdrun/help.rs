//! What `--help` prints.

pub const HELP: &str = "\
sdrun [OPTION...] COMMAND [ARGUMENTS...]

Run a command in a transient systemd service or scope. The options are systemd-run's.

  -h --help                       Show this help
     --version                    Show the version
     --no-ask-password            Do not have polkit ask for a password
     --user                       Talk to the own user manager
     --system                     Talk to the system manager (the default)
  -H --host=[USER@]HOST[:PORT][/CONTAINER]
                                  Talk to the system manager of another host, over ssh
  -M --machine=CONTAINER          Talk to that of a local container (.host: this host; with --user: USER@CONTAINER)
  -C --capsule=NAME               Talk to the manager of a capsule
     --private                    Talk to the manager's private socket, not over the bus (not one of systemd-run's)
     --scope                      Run the command here, in a scope
  -u --unit=UNIT                  Name the unit
  -p --property=NAME=VALUE        Set a property of the service or scope
     --description=TEXT           Describe the unit
     --slice=SLICE                Run in this slice
     --slice-inherit              Run in the own slice; with --slice, in that slice below it
     --expand-environment=BOOL    Whether $NAME and ${NAME} in the arguments are expanded (the default)
     --no-block                   Do not wait until the unit is started
  -r --remain-after-exit          Keep the unit active after the command has ended, until it is stopped
     --wait                       Wait until the unit has ended, and return the command's exit status
     --send-sighup                Send SIGHUP too when the unit is stopped
     --service-type=TYPE          When the unit counts as started: simple, exec, oneshot, notify, ...
     --uid=USER                   Run as this user
     --gid=GROUP                  Run with this group
     --nice=LEVEL                 Run at this nice level
     --working-directory=PATH     Set the working directory
  -d --same-dir                   Use the own working directory
     --root-directory=PATH        Set the root directory, as it is seen here
  -R --same-root-dir              Use the own root directory
  -E --setenv=NAME[=VALUE]        Set an environment variable; without a value take it from the own environment
  -t --pty                        Run the command on a terminal of its own, put through to this one; wait for its end
  -T --pty-late                   The same, put through when the unit is started
  -P --pipe                       Have the command use the own standard input, output and error; wait for its end
                                  (with --pty: where one of them is no terminal)
  -q --quiet                      Print neither the unit's name nor the summary
  -v --verbose                    Print the unit's log entries while waiting
     --output=MODE                How they are printed, as with journalctl (\"help\" lists the modes)
     --json=FORMAT                Print the unit's name and invocation ID as JSON: pretty, short or off
  -G --collect                    Unload the unit after it ran, even when it failed
  -S --shell                      Run the user's shell here: --pty --same-dir --wait --collect --service-type=exec
     --job-mode=MODE              What becomes of queued jobs that are in the way (\"help\" lists the modes)
     --ignore-failure             Take any exit status of the command for a success
     --no-pager                   Do not use a pager (none is ever used)

Path options:
     --path-property=NAME=VALUE   Set a property of the path unit

Socket options:
     --socket-property=NAME=VALUE Set a property of the socket unit

Timer options:
     --on-active=SPAN             Run the command this long from now
     --on-boot=SPAN               Run it this long after the boot
     --on-startup=SPAN            Run it this long after the manager was started
     --on-unit-active=SPAN        Run it this long after it was last started
     --on-unit-inactive=SPAN      Run it this long after it last ended
     --on-calendar=EVENT          Run it at these times, as in systemd.time(7)
     --on-timezone-change         Run it when the time zone changes
     --on-clock-change            Run it when the clock is set
     --timer-property=NAME=VALUE  Set a property of the timer unit

See systemd-run(1).
";
