//! A process that forks, and tasks that panic, with units outstanding.

mod support;

use futures::StreamExt;
use futures::future::FutureExt;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use sdrun::{Error, Manager, Result, States, Status, Unit};
use support::{Folder, managers, shell, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

fn is_of_another_process<T>(result: Option<Result<T>>) -> bool {
    let error = result.and_then(Result::err);
    eprintln!("in the child: {error:?}");
    matches!(error, Some(Error::System { errno: Errno::ECHILD, .. }))
}

/// What does not hold in the child, by its number.
fn in_the_child(manager: Manager, units: Vec<Unit>, mut states: States) -> i32 {
    let [waited, asked, dropped] = <[Unit; 3]>::try_from(units).expect("three");
    let mut command = shell("exit 0");
    let mut logs = asked.logs();
    let wrong = [
        is_of_another_process(command.start(&manager).now_or_never()),
        is_of_another_process(waited.wait().now_or_never()),
        is_of_another_process(waited.activated().now_or_never().filter(|activated| activated.is_err()))
            || waited.activated().now_or_never().is_some(),
        is_of_another_process(asked.get("SubState").now_or_never()),
        is_of_another_process(asked.stop().now_or_never()),
        is_of_another_process(asked.kill(9, sdrun::Whom::All).now_or_never()),
        is_of_another_process(manager.unit(asked.name()).now_or_never()),
        matches!(waited.try_wait(), Ok(None)),
        is_of_another_process(logs.next().now_or_never().flatten()),
        matches!(logs.next().now_or_never(), Some(None)),
        is_of_another_process(states.next().now_or_never().flatten()),
        matches!(states.next().now_or_never(), Some(None)),
    ];
    // It would stop its unit.
    drop((dropped, waited, asked, manager));
    wrong.iter().position(|right| !right).map_or(0, |at| at as i32 + 1)
}

alone! {
    /// The child has errors of all that it tries with what it got from its parent, at once. Nothing that it does, nor that
    /// it ends, is noticed by the parent or its units, those with `kill_on_drop` among them.
    fn a_process_that_forks() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for (transport, manager) in managers().await {
                for drops in [true, false] {
                    let folder = Folder::new();
                    let gate = folder.fifo("gate");
                    let mut units = Vec::new();
                    for code in 0..3 {
                        let mut command = shell(&format!(": <{gate}; exit {code}"));
                        let unit = command.kill_on_drop(true).start(&manager).await.unwrap();
                        soon("it runs", unit.activated()).await.unwrap();
                        units.push(unit);
                    }
                    // The child has what there was to be taken, and then no more.
                    let mut states = units[0].states();
                    assert!(soon("a state", states.next()).await.is_some_and(|state| state.is_ok()));
                    // SAFETY: this thread alone runs Rust code now, and the child uses what is whole in any thread, and
                    // ends without running what the process has registered for its end.
                    let forked = unsafe { fork() }.unwrap();
                    let child = match forked {
                        ForkResult::Parent { child } => child,
                        ForkResult::Child => {
                            let wrong = if drops { in_the_child(manager, units, states) } else { 0 };
                            // SAFETY: it only ends the process.
                            unsafe { nix::libc::_exit(wrong) }
                        }
                    };
                    let ended = tokio::task::spawn_blocking(move || waitpid(child, None));
                    let ended = soon("the child", ended).await.unwrap().unwrap();
                    assert_eq!(ended, WaitStatus::Exited(child, 0), "{transport}: the number of what is wrong");
                    // All goes on as if nothing had been.
                    assert_eq!(units[0].get("SubState").await.unwrap(), "running".into(), "{transport}");
                    let _open = support::reader_of(&gate).await;
                    for (code, unit) in units.into_iter().enumerate() {
                        let exit = soon("the exit", unit.wait()).await.unwrap();
                        assert_eq!(exit.status, Some(Status::Exited(code as u8)), "{transport}");
                    }
                    let unit = shell("exit 6").start(&manager).await.unwrap();
                    assert_eq!(soon("a later exit", unit).await.unwrap().status, Some(Status::Exited(6)));
                }
            }
        });
    }
}

async fn is_loaded(name: &str) -> bool {
    let arguments = [support::scope(), "list-units", "--all", "--plain", "--no-legend", name];
    let output = tokio::process::Command::new("systemctl").args(arguments).output().await.unwrap();
    !output.stdout.is_empty()
}

/// A task that panics drops the handle that it holds: with `kill_on_drop` the unit is stopped, without it goes on. The
/// connection serves all others, also where the panic came in the middle of a start or a wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_panics() {
    for (transport, manager) in managers().await {
        for kill in [true, false] {
            let name = format!("sdrun-panicked-{transport}-{kill}-{}.service", std::process::id());
            let mut command = shell("sleep 1000");
            command.name(&name).kill_on_drop(kill);
            let manager_too = manager.clone();
            let task = tokio::spawn(async move {
                let unit = command.start(&manager_too).await.unwrap();
                let mut other = shell("exit 0");
                let start = other.start(&manager_too);
                let wait = unit.wait();
                futures::pin_mut!(start, wait);
                assert!(futures::poll!(wait).is_pending());
                assert!(futures::poll!(start).is_pending());
                panic!("on purpose");
            });
            assert!(soon("the task", task).await.unwrap_err().is_panic());
            let unit = shell("exit 6").start(&manager).await.unwrap();
            assert_eq!(soon("a later exit", unit).await.unwrap().status, Some(Status::Exited(6)));
            if kill {
                let gone = async {
                    while is_loaded(&name).await {
                        tokio::task::yield_now().await;
                    }
                };
                soon("the stop", gone).await;
            } else {
                let unit = soon("it goes on", manager.unit(&name)).await.unwrap();
                unit.stop().await.unwrap();
            }
        }
    }
}
