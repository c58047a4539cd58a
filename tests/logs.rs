//! A unit's log as a stream.

mod support;

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use futures::{FutureExt, StreamExt};
use sdrun::{Command, Entry, Error, Logs, Manager, Priority, Unit};
use support::{Folder, is_root, managers, on_bus, reader_of, shell, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn all(logs: Logs) -> Vec<Entry> {
    soon("the log", logs.map(Result::unwrap).collect::<Vec<_>>()).await
}

/// What its processes wrote, without what the manager says.
fn written(entries: &[Entry]) -> Vec<String> {
    let ours = |entry: &&Entry| entry.get("UNIT").or(entry.get("USER_UNIT")).is_none();
    entries.iter().filter(ours).map(|entry| entry.message().into_owned()).collect()
}

/// What the manager says.
fn said(entries: &[Entry]) -> Vec<String> {
    let about = |entry: &&Entry| entry.get("UNIT").or(entry.get("USER_UNIT")).is_some();
    entries.iter().filter(about).map(|entry| entry.message().into_owned()).collect()
}

async fn next(logs: &mut Logs) -> Entry {
    soon("an entry", logs.next()).await.expect("no end").unwrap()
}

/// The next entry that is not the manager's.
async fn next_written(logs: &mut Logs) -> Entry {
    loop {
        let entry = next(logs).await;
        if entry.get("UNIT").or(entry.get("USER_UNIT")).is_none() {
            return entry;
        }
    }
}

#[tokio::test]
async fn a_line() {
    for (transport, manager) in managers().await {
        let before = SystemTime::now() - Duration::from_secs(1);
        let unit = Command::from(["/bin/echo", "hello"]).collect(true).start(&manager).await.unwrap();
        let entries = all(unit.logs()).await;
        assert_eq!(written(&entries), ["hello"], "{transport}: {entries:#?}");
        assert!(said(&entries).iter().any(|text| text.starts_with("Started ")), "{transport}: {entries:#?}");
        let line = entries.iter().find(|entry| entry.message() == "hello").unwrap();
        assert_eq!(line.priority(), Some(Priority::Info));
        assert_eq!(line.get("_TRANSPORT"), Some(&b"stdout"[..]));
        assert!(line.time() > before && line.time() < SystemTime::now() + Duration::from_secs(1));
        assert!(line.monotonic() > Duration::ZERO);
        assert!(line.fields().any(|(name, value)| name == "SYSLOG_IDENTIFIER" && value == b"echo"));
        // Again, of a unit that has ended.
        assert_eq!(all(unit.logs()).await, entries, "{transport}");
        assert!(unit.wait().await.unwrap().success());
    }
}

/// What was written before the stream began comes first; what is written while it is read comes then.
#[tokio::test]
async fn before_and_after() {
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let (first, second) = (folder.fifo("first"), folder.fifo("second"));
        let script = format!("echo one; echo two; cat {first}; echo three; cat {second}; echo four");
        let unit = shell(&script).start(&manager).await.unwrap();
        let first = reader_of(&first).await;
        let mut logs = unit.logs();
        assert_eq!(next_written(&mut logs).await.message(), "one", "{transport}");
        assert_eq!(next_written(&mut logs).await.message(), "two");
        drop(first);
        let second = reader_of(&second).await;
        // It runs still.
        assert_eq!(next_written(&mut logs).await.message(), "three");
        assert!(logs.next().now_or_never().is_none(), "{transport}: it goes on");
        drop(second);
        assert_eq!(next_written(&mut logs).await.message(), "four");
        let rest = all(logs).await;
        assert!(written(&rest).is_empty(), "{transport}: {rest:?}");
    }
}

/// Written at once before the end: nothing is missing, and nothing is out of order.
#[tokio::test]
async fn ten_thousand_lines() {
    for (transport, manager) in managers().await {
        let (main, shell_itself) = ("exec seq 1 10000", "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); echo $i; done");
        let scripts = match transport {
            // Where a process writes that is not the main one and has ended, of a user's unit the journal does not know it.
            _ if is_root() => vec![main, shell_itself, "seq 1 10000; exit 3"],
            // All units of a user share one limit of what they may log.
            "bus" => vec![main],
            _ => vec![shell_itself],
        };
        for script in scripts {
            let unit = shell(script).extra("LogRateLimitIntervalUSec", 0u64).start(&manager).await.unwrap();
            let entries = all(unit.logs()).await;
            let numbers: Vec<u32> = written(&entries).iter().map(|text| text.parse().unwrap()).collect();
            assert!(numbers.iter().copied().eq(1..=10_000), "{transport}: {script}: {}", numbers.len());
            assert!(entries.windows(2).all(|pair| pair[0].monotonic() <= pair[1].monotonic()));
        }
    }
}

/// Many units, of which each ends as soon as it has written.
#[tokio::test]
async fn last_words() {
    let manager = on_bus().await;
    for round in 0..10 {
        let units = (0..20).map(|number| {
            let manager = &manager;
            async move {
                let script = format!("for i in 1 2 3 4 5; do echo {round}-{number}-$i; done");
                let unit = shell(&script).start(manager).await.unwrap();
                let entries = all(unit.logs()).await;
                let wanted: Vec<_> = (1..=5).map(|i| format!("{round}-{number}-{i}")).collect();
                assert_eq!(written(&entries), wanted, "{entries:#?}");
            }
        });
        futures::future::join_all(units).await;
    }
}

/// The journal's daemon, which does nothing until this is dropped.
struct Stopped(nix::unistd::Pid);

/// One at a time.
static STOPPING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Stopped {
    fn new() -> Self {
        let output =
            std::process::Command::new("systemctl").args(["show", "-P", "MainPID", "systemd-journald"]).output();
        let pid = String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap();
        let stopped = Stopped(nix::unistd::Pid::from_raw(pid));
        stopped.send(nix::sys::signal::Signal::SIGSTOP);
        stopped
    }

    fn send(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.0, signal).unwrap();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.send(nix::sys::signal::Signal::SIGCONT);
    }
}

/// The journal comes to it all only after the unit has ended.
#[tokio::test]
async fn a_journal_that_is_late() {
    if !is_root() {
        return; // the same as root, below
    }
    let _turn = STOPPING.lock().await;
    for (transport, manager) in managers().await {
        let stopped = Stopped::new();
        let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; seq 3001 6000; \
            logger --tag a late; printf 'MESSAGE=later\n' | logger --journald; exit 3";
        let unit = shell(script).extra("PrivateNetwork", true).start(&manager).await.unwrap();
        let mut logs = unit.logs();
        let early = logs.next().now_or_never();
        assert!(early.is_none(), "{transport}: {early:?}");
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().code(), Some(3));
        // It waits for what is on its way.
        let mut collected = Vec::new();
        let pause = tokio::time::timeout(Duration::from_millis(300), async {
            while let Some(entry) = logs.next().await {
                collected.push(entry.unwrap());
            }
        });
        assert!(pause.await.is_err(), "{transport}: it has ended: {}", collected.len());
        drop(stopped);
        collected.extend(all(logs).await);
        let numbers: Vec<u32> = written(&collected).iter().filter_map(|text| text.parse().ok()).collect();
        assert!(numbers.iter().copied().eq(1..=6000), "{transport}: {}", numbers.len());
        assert!(said(&collected).iter().any(|text| text.contains("status=3")), "{transport}: {:#?}", said(&collected));
    }
}

/// The same of a user's unit, whose main process wrote.
#[tokio::test]
async fn a_journal_that_is_late_for_a_user() {
    if !is_root() {
        return;
    }
    let _turn = STOPPING.lock().await;
    let stopped = Stopped::new();
    let mut user = support::as_user(&["late_for_a_user_body", "--ignored", "--exact", "--nocapture"]);
    let mut child = user.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ended") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0);
    }
    drop(stopped);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert!(status.success(), "{rest}");
}

#[tokio::test]
#[ignore = "run by a_journal_that_is_late_for_a_user"]
async fn late_for_a_user_body() {
    let manager = on_bus().await;
    // What other processes write is known by the stream that the main one has written to.
    let script = "seq 1 1000; i=1000; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; seq 3001 4000; exit 3";
    let unit = shell(script).start(&manager).await.unwrap();
    let logs = unit.logs();
    let exit = soon("the exit", unit.wait()).await.unwrap();
    println!("ended");
    let entries = all(logs).await;
    let numbers: Vec<u32> = written(&entries).iter().filter_map(|text| text.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=4000), "{}", numbers.len());
    assert_eq!(exit.code(), Some(3));
}

/// Sends an entry to the journal as `sd_journal_send(3)` does.
fn send(fields: &[(&str, &[u8])]) {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let memory = match socket.send_to(&bytes, "/run/systemd/journal/socket") {
        Ok(_) => return,
        // Too large for a datagram: in a file then, whose descriptor is sent.
        Err(error) if matches!(error.raw_os_error(), Some(libc) if libc == nix::libc::EMSGSIZE) => {
            let path = format!("/dev/shm/sdrun-{}", std::process::id());
            let mut file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            file.write_all(&bytes).unwrap();
            file
        }
        Err(error) => panic!("{error}"),
    };
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use std::os::fd::AsRawFd;
    let fds = [memory.as_raw_fd()];
    let address = UnixAddr::new("/run/systemd/journal/socket").unwrap();
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg(socket.as_raw_fd(), &[], &rights, MsgFlags::empty(), Some(&address)).unwrap();
}

/// This test program as a unit's program, with one of its ignored tests.
fn inside(test: &str, folder: &Folder) -> Command {
    let copy = folder.path("program");
    // By another process: what others start here while it is written to would hold it open, and it could not be executed.
    let program = format!("/proc/{}/exe", std::process::id());
    assert!(std::process::Command::new("cp").args([&program, &copy]).status().unwrap().success());
    let mut command = Command::from([&*copy, test, "--exact", "--ignored"]);
    command.collect(true);
    command
}

#[test]
#[ignore = "run as a unit"]
fn inside_writes_odd_entries() {
    send(&[("MESSAGE", b"two\nlines"), ("PRIORITY", b"2"), ("ODD", b"a"), ("ODD", b"\x00\n=\xff"), ("EMPTY", b"")]);
    send(&[("MESSAGE", b"no text: \xff\xfe")]);
    send(&[("MESSAGE", "é".repeat(100_000).as_bytes()), ("LARGE", &[b'x'; 300_000])]);
    send(&[("NOTHING", b"to say")]);
    // Until the journal has looked who it was.
    std::thread::sleep(Duration::from_millis(300));
}

#[tokio::test]
async fn fields_of_all_kinds() {
    let folder = Folder::new();
    for (transport, manager) in managers().await {
        let unit = inside("inside_writes_odd_entries", &folder).start(&manager).await.unwrap();
        let entries = all(unit.logs()).await;
        let sent: Vec<_> = entries
            .iter()
            .filter(|entry| entry.get("_TRANSPORT") == Some(b"journal") && entry.get("CODE_FILE").is_none())
            .collect();
        assert_eq!(sent.len(), 4, "{transport}: {entries:#?}");
        assert_eq!((&*sent[0].message(), sent[0].priority()), ("two\nlines", Some(Priority::Critical)));
        let mut odd: Vec<_> = sent[0].get_all("ODD").collect();
        odd.sort();
        assert_eq!(odd, [&b"\x00\n=\xff"[..], b"a"]);
        assert_eq!(sent[0].get("EMPTY"), Some(&b""[..]));
        assert_eq!(sent[1].get("MESSAGE"), Some(&b"no text: \xff\xfe"[..]));
        assert_eq!(sent[1].message(), "no text: \u{fffd}\u{fffd}");
        assert_eq!(sent[2].message(), "é".repeat(100_000));
        assert_eq!(sent[2].get("LARGE").map(<[u8]>::len), Some(300_000));
        assert_eq!((&*sent[3].message(), sent[3].priority()), ("", None));
        assert_eq!(sent[3].get("NOTHING"), Some(&b"to say"[..]));
    }
}

#[tokio::test]
async fn priorities() {
    let manager = on_bus().await;
    let script = "i=0; while [ $i -lt 8 ]; do echo \"<$i>text $i\"; i=$((i+1)); done; echo '<8>plain'; echo plain";
    let entries = all(shell(script).start(&manager).await.unwrap().logs()).await;
    let of =
        |text: &str| entries.iter().find(|entry| entry.message() == text).unwrap_or_else(|| panic!("{entries:#?}"));
    assert_eq!(of("text 0").priority(), Some(Priority::Emergency));
    assert_eq!(of("text 3").priority(), Some(Priority::Error));
    assert_eq!(of("text 7").priority(), Some(Priority::Debug));
    assert_eq!(of("plain").priority(), Some(Priority::Info));
    let mut plain = shell("echo '<3>text'");
    let entries = all(plain.extra("SyslogLevelPrefix", false).start(&manager).await.unwrap().logs()).await;
    assert_eq!(written(&entries), ["<3>text"]);
}

#[tokio::test]
async fn two_units_do_not_mix() {
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let fifos = [folder.fifo("a"), folder.fifo("b")];
        let script = |name: &str, fifo: &str| {
            format!("for i in 1 2 3; do echo {name}-$i; done; cat {fifo}; for i in 4 5 6; do echo {name}-$i; done")
        };
        let a = shell(&script("a", &fifos[0])).start(&manager).await.unwrap();
        let b = shell(&script("b", &fifos[1])).start(&manager).await.unwrap();
        let (logs_a, logs_b) = (a.logs(), b.logs());
        drop((reader_of(&fifos[0]).await, reader_of(&fifos[1]).await));
        let (a, b) = futures::future::join(all(logs_a), all(logs_b)).await;
        let wanted = |name: &str| (1..=6).map(|i| format!("{name}-{i}")).collect::<Vec<_>>();
        assert_eq!((written(&a), written(&b)), (wanted("a"), wanted("b")), "{transport}");
    }
}

/// Whoever says that an entry is the unit's, without being it.
#[tokio::test]
async fn forged_entries_are_no_ones() {
    let folder = Folder::new();
    let manager = on_bus().await;
    let fifo = folder.fifo("wait");
    let unit = shell(&format!("echo begin; cat {fifo}; echo end")).start(&manager).await.unwrap();
    let held = reader_of(&fifo).await;
    let activated = soon("the activation", unit.activated()).await;
    activated.unwrap();
    let id = unit.invocation_id().unwrap().to_string();
    let name = unit.name().to_owned();
    let script = format!(
        "printf 'MESSAGE=forged\\nUNIT={name}\\nUSER_UNIT={name}\\nINVOCATION_ID={id}\\nUSER_INVOCATION_ID={id}\\n\
         _SYSTEMD_INVOCATION_ID={id}\\n_SYSTEMD_UNIT={name}\\nOBJECT_SYSTEMD_UNIT={name}\\nCOREDUMP_UNIT={name}\\n\
         OBJECT_SYSTEMD_INVOCATION_ID={id}\\nCOREDUMP_USER_UNIT={name}\\n' | logger --journald; sleep 0.3; echo written"
    );
    let mut forger = shell(&script);
    if is_root() {
        forger.user("tester");
    }
    let forged = all(forger.start(&manager).await.unwrap().logs()).await;
    assert_eq!(written(&forged).last().map(|line| &**line), Some("written"), "{forged:#?}");
    drop(held);
    let entries = all(unit.logs()).await;
    assert!(entries.iter().all(|entry| entry.message() != "forged"), "{entries:#?}");
    assert_eq!(written(&entries), ["begin", "end"]);
}

#[tokio::test]
async fn a_start_that_fails() {
    for (transport, manager) in managers().await {
        let unit = Command::new("/does/not/exist").collect(true).start(&manager).await.unwrap();
        let logs = unit.logs();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().code(), Some(203));
        let entries = all(logs).await;
        assert!(entries.iter().any(|entry| entry.message().contains("203/EXEC")), "{transport}: {entries:#?}");
        let reason = entries.iter().any(|entry| entry.message().contains("No such file or directory"));
        assert!(reason, "{transport}: {entries:#?}");
    }
}

#[tokio::test]
async fn a_condition_that_is_not_met() {
    let manager = on_bus().await;
    let mut command = Command::from(["/bin/true"]);
    let condition =
        sdrun::Value::Struct(vec!["ConditionPathExists".into(), false.into(), false.into(), "/does/not/exist".into()]);
    let conditions = sdrun::Value::Array(sdrun::Signature::new("(sbbs)").unwrap(), vec![condition]);
    let unit = command.collect(true).extra("Conditions", conditions).start(&manager).await.unwrap();
    let entries = all(unit.logs()).await;
    assert!(entries.iter().any(|entry| entry.message().contains("condition")), "{entries:#?}");
}

/// Every run of the unit.
#[tokio::test]
async fn restarts() {
    for (transport, manager) in managers().await {
        let mut command = shell("echo run; exit 5");
        command.extra("Restart", "on-failure").extra("RestartUSec", 50_000u64).extra("StartLimitBurst", 3u32);
        let unit = command.start(&manager).await.unwrap();
        let entries = all(unit.logs()).await;
        assert_eq!(written(&entries), ["run"; 3], "{transport}: {entries:#?}");
        // Also of one that begins late.
        assert_eq!(written(&all(unit.logs()).await), ["run"; 3], "{transport}");
        let unit = shell("echo run; sleep 1000").start(&manager).await.unwrap();
        let mut logs = unit.logs();
        next_written(&mut logs).await;
        soon("the restart", unit.restart()).await.unwrap();
        assert_eq!(next_written(&mut logs).await.message(), "run", "{transport}");
        soon("the restart", unit.restart()).await.unwrap();
        soon("the stop", unit.stop()).await.unwrap();
        assert!(written(&all(logs).await).len() <= 1, "{transport}");
    }
}

/// One that remains after its exit may log more.
#[tokio::test]
async fn a_unit_that_remains() {
    for (transport, manager) in managers().await {
        let mut command = shell("echo ran");
        let unit = command.extra("RemainAfterExit", true).start(&manager).await.unwrap();
        let mut logs = unit.logs();
        assert_eq!(next_written(&mut logs).await.message(), "ran", "{transport}");
        soon("the exit", unit.wait()).await.unwrap();
        soon("the stop", unit.stop()).await.unwrap();
        let rest = all(logs).await;
        assert!(written(&rest).is_empty() && !said(&rest).is_empty(), "{transport}: {rest:#?}");
    }
}

/// A name that is used again and again: no run has lines of another.
#[tokio::test]
async fn a_name_that_is_used_again() {
    for (transport, manager) in managers().await {
        let name = format!("logs-again-{transport}");
        for round in 0..20 {
            let unit = shell(&format!("echo {round}")).name(&name).start(&manager).await.unwrap();
            assert_eq!(written(&all(unit.logs()).await), [round.to_string()], "{transport}");
        }
    }
}

#[tokio::test]
async fn an_adopted_unit() {
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let fifo = folder.fifo("wait");
        let unit = shell(&format!("echo one; cat {fifo}; echo two")).start(&manager).await.unwrap();
        let name = unit.name().to_owned();
        let held = reader_of(&fifo).await;
        let other = Manager::builder().connect().await.unwrap();
        let adopted = other.unit(&name).await.unwrap();
        let logs = adopted.logs();
        drop(adopted);
        drop(held);
        let entries = all(logs).await;
        assert_eq!(written(&entries), ["one", "two"], "{transport}: {entries:#?}");
        assert!(said(&entries).iter().any(|text| text.starts_with("Started ")), "{transport}: {entries:#?}");
    }
}

/// Of a unit that was spawned, and of starts that are refused.
#[tokio::test]
async fn spawned_units() {
    let unit = shell("echo spawned").spawn().unwrap();
    assert_eq!(written(&all(unit.logs()).await), ["spawned"]);
    let refused = Command::new("/bin/true").extra("NoSuchProperty", 1u32).spawn().unwrap();
    let mut logs = refused.logs();
    let error = soon("the refusal", logs.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Call { .. }), "{error}");
    assert!(soon("the end", logs.next()).await.is_none());
    assert!(logs.next().await.is_none());
}

/// A container keeps its own journal, which is not read here.
#[tokio::test]
async fn a_containers_journal() {
    if !is_root() {
        return;
    }
    let container = support::container::Container::boot();
    let manager = soon("the machine", Manager::machine(container.name())).await.unwrap();
    let unit = shell("echo there").start(&manager).await.unwrap();
    let mut logs = unit.logs();
    let error = soon("an error", logs.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("container"), "{error}");
    assert!(soon("the end", logs.next()).await.is_none());
    assert!(soon("the exit", unit.wait()).await.unwrap().success());
}

/// Managers of this host by other names than their own.
#[tokio::test]
async fn this_host_as_a_machine() {
    if !is_root() {
        return;
    }
    let address = Manager::builder().address("unix:path=/run/dbus/system_bus_socket").connect().await.unwrap();
    let mut managers = vec![address, Manager::machine(".host").await.unwrap()];
    #[cfg(libsystemd_248)]
    managers.push(Manager::user_machine("tester@.host").await.unwrap());
    for manager in managers {
        let unit = shell("id -u; echo here").start(&manager).await.unwrap();
        let entries = all(unit.logs()).await;
        assert_eq!(written(&entries).last().map(|line| &**line), Some("here"), "{manager:?}: {entries:#?}");
    }
}

/// A journal of its own, beside which the manager speaks in the common one.
#[tokio::test]
async fn a_log_namespace() {
    if !is_root() {
        return;
    }
    for (transport, manager) in managers().await {
        for round in 0..3 {
            let mut command = shell("echo apart; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i; done");
            let unit =
                command.extra("LogNamespace", format!("sdrun-{transport}-{round}")).start(&manager).await.unwrap();
            if round == 1 {
                soon("the exit", unit.wait()).await.unwrap();
            }
            let entries = all(unit.logs()).await;
            assert_eq!(written(&entries).len(), 1001, "{transport}: {entries:#?}");
            assert!(said(&entries).iter().any(|text| text.starts_with("Started ")), "{transport}: {entries:#?}");
        }
    }
}

/// New files take the place of the old ones while a stream is read.
#[tokio::test]
async fn a_journal_that_rotates() {
    if !is_root() {
        return;
    }
    let _turn = STOPPING.lock().await;
    let run = |program: &'static str, arguments: &'static [&'static str]| {
        tokio::task::spawn_blocking(move || {
            let output = std::process::Command::new(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        })
    };
    let manager = on_bus().await;
    let folder = Folder::new();
    let fifos = ["a", "b", "c"].map(|name| folder.fifo(name));
    let [a, b, c] = &fifos;
    let unit =
        shell(&format!("echo 1; cat {a}; echo 2; cat {b}; echo 3; cat {c}; echo 4")).start(&manager).await.unwrap();
    let mut logs = unit.logs();
    assert_eq!(next_written(&mut logs).await.message(), "1");
    run("journalctl", &["--rotate"]).await.unwrap();
    drop(reader_of(a).await);
    assert_eq!(next_written(&mut logs).await.message(), "2");
    run("journalctl", &["--rotate"]).await.unwrap();
    drop(reader_of(b).await);
    assert_eq!(next_written(&mut logs).await.message(), "3");
    // (Not a restart of the daemon: meanwhile the manager's own messages go to the kernel's log, in other tests too.)
    run("journalctl", &["--rotate"]).await.unwrap();
    drop(reader_of(c).await);
    assert_eq!(written(&all(logs).await), ["4"]);
}

/// Those of one user's units are no one else's.
#[tokio::test]
async fn without_permission() {
    if is_root() {
        return; // the other half, as an ordinary user, is below
    }
    let system = Manager::system().await.unwrap();
    let unit = system.unit("systemd-journald.service").await.unwrap();
    let mut logs = unit.logs();
    let error = soon("a refusal", logs.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("systemd-journal"), "{error}");
    assert!(soon("the end", logs.next()).await.is_none());
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

alone! {
    /// Threads and descriptors do not grow with the streams, and nothing is left of those that are dropped.
    fn many_streams() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let manager = on_bus().await;
            drop(shell("true").start(&manager).await.unwrap().wait().await.unwrap());
            // The readers, of which there are few, have each file of the journal open, of which there may be many.
            let others = || support::list_descriptors().iter().filter(|file| !file.ends_with(".journal")).count();
            let (before, before_others) = (support::descriptors(), others());
            let folder = Folder::new();
            let fifo = folder.fifo("wait");
            // Held open for reading too, so that all units can open it.
            let held = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
            let starts = (0..200).map(|number| {
                let (manager, fifo) = (manager.clone(), fifo.clone());
                async move {
                    let script = format!("echo {number}; read line <{fifo}; echo end-{number}");
                    let unit = shell(&script).start(&manager).await.unwrap();
                    let mut logs = unit.logs();
                    assert_eq!(next_written(&mut logs).await.message(), number.to_string());
                    (unit, logs)
                }
            });
            let mut streams = futures::future::join_all(starts).await;
            let standing = (others() - before_others, threads());
            assert!(standing.0 < 60, "{:?}", support::list_descriptors());
            assert!(standing.1 < 32, "{standing:?}");
            // Half of them are dropped in the middle.
            let rest = streams.split_off(100);
            for (unit, logs) in streams {
                drop(logs);
                soon("the stop", unit.stop()).await.unwrap();
            }
            for _ in 0..200 {
                (&held).write_all(b"go\n").unwrap();
            }
            let ends = rest.into_iter().map(|(unit, logs)| async move {
                drop(unit);
                assert!(written(&all(logs).await).concat().starts_with("end-"));
            });
            futures::future::join_all(ends).await;
            let began = Instant::now();
            while support::descriptors() > before + 1 && began.elapsed() < support::DEADLINE {
                tokio::task::yield_now().await;
            }
            assert!(support::descriptors() <= before + 1, "{:?}", support::list_descriptors());
        });
    }
}

/// A stream that is not taken costs no more than some entries.
#[tokio::test]
async fn a_slow_reader() {
    let manager = on_bus().await;
    let unit = shell("exec seq 1 5000").extra("LogRateLimitIntervalUSec", 0u64).start(&manager).await.unwrap();
    let mut logs = unit.logs();
    assert_eq!(next_written(&mut logs).await.message(), "1");
    soon("the exit", unit.wait()).await.unwrap();
    drop(unit);
    let mut last = 1;
    while let Some(entry) = soon("an entry", logs.next()).await {
        if let Ok(number) = entry.unwrap().message().parse::<u32>() {
            assert_eq!(number, last + 1);
            last = number;
            if number % 1000 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    assert_eq!(last, 5000);
}

/// Waiting for the journal leaves nothing in it.
#[tokio::test]
async fn no_traces() {
    let manager = on_bus().await;
    let unit = shell("echo line").start(&manager).await.unwrap();
    assert_eq!(written(&all(unit.logs()).await), ["line"]);
    let ours = format!("_PID={}", std::process::id());
    let output = std::process::Command::new("journalctl").args(["--quiet", "--no-pager", &ours]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn streams_are_send_and_sync() {
    fn check<T: Send + Sync + Unpin + 'static>() {}
    check::<Logs>();
    check::<Entry>();
    let _ = |unit: &Unit| drop(unit.logs());
}
