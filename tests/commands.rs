//! The command lines beside the main one, and the types of service.

mod support;

use sdrun::{Command, Error, Exec, ExitType, Outcome, ServiceType, Status};
use support::{Folder, managers, reader_of, shell_line, sleeping, soon, systemctl, systemd_version};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

#[tokio::test]
async fn lines_run_in_their_order() {
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let note = |what: &str| shell_line(&format!("echo {what} >>{}", folder.path("log")));
        // The main program of a oneshot is over before what comes after the start.
        let mut command = Command::from(note("main"));
        command.service_type(ServiceType::Oneshot).collect(true);
        for number in ["1", "2", "3"] {
            command.start_pre(note(&format!("start_pre {number}"))).start_post(note(&format!("start_post {number}")));
            command.stop(note(&format!("stop {number}"))).stop_post(note(&format!("stop_post {number}")));
        }
        let exit = soon("the exit", command.start(&manager).await.unwrap().wait()).await.unwrap();
        assert!(exit.success(), "{transport}: {exit:?}");
        let kinds = ["start_pre 1|start_pre 2|start_pre 3|main", "start_post 1|start_post 2|start_post 3"];
        let kinds = [kinds[0], kinds[1], "stop 1|stop 2|stop 3", "stop_post 1|stop_post 2|stop_post 3|"];
        assert_eq!(folder.read("log").replace('\n', "|"), kinds.join("|"), "{transport}");
    }
}

#[tokio::test]
async fn failures_of_lines() {
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let note = |what: &str| shell_line(&format!("echo {what} >>{}", folder.path("log")));
        let ignored = || Exec::from("/bin/false").ignore_failure(true).clone();

        // A start that fails before the program: neither it nor what stops it runs; what comes after the end does.
        let mut command = Command::from(note("main"));
        command.start_pre(shell_line("exit 7")).start_pre(note("pre")).start_post(note("post")).stop(note("stop"));
        command.stop_post(note("stop_post")).collect(true);
        let exit = soon("the exit", command.start(&manager).await.unwrap().wait()).await.unwrap();
        assert_eq!((exit.result, exit.status), (Outcome::ExitCode, None), "{transport}");
        assert_eq!(folder.read("log"), "stop_post\n", "{transport}");

        let mut command = sleeping();
        command.start_post(shell_line("exit 8"));
        let exit = soon("the exit", command.start(&manager).await.unwrap().wait()).await.unwrap();
        assert_eq!(exit.result, Outcome::ExitCode, "{transport}: {exit:?}");
        assert!(!exit.success());

        let mut command = Command::new("/bin/true");
        command.stop_post("/bin/false").collect(true);
        let exit = soon("the exit", command.start(&manager).await.unwrap().wait()).await.unwrap();
        assert_eq!((exit.result, exit.status), (Outcome::ExitCode, Some(Status::Exited(0))), "{transport}");

        let mut command = Command::new("/bin/true");
        command.start_pre(ignored()).start_post(ignored()).stop(ignored()).stop_post(ignored()).collect(true);
        command.start_pre(Exec::from(["/bin/false", "$;"]).ignore_failure(true));
        let exit = soon("the exit", command.start(&manager).await.unwrap().wait()).await.unwrap();
        assert!(exit.success(), "{transport}: {exit:?}");
    }
}

#[tokio::test]
async fn every_service_type() {
    use ServiceType::*;
    let notifying = "systemd-notify --ready; exit 5";
    // systemd 262 refuses a start whose process does not handle the signal to reload.
    let reloading = "trap : HUP; systemd-notify --ready; exit 5";
    // The end of one owner is not to be taken for that of the next.
    let names = ["org.example.One", "org.example.Two"];
    let _policy = Policy::allow(names);
    let bus = match std::env::var("XDG_RUNTIME_DIR") {
        Ok(runtime) if !support::is_root() => format!("{runtime}/bus"),
        _ => "/run/dbus/system_bus_socket".into(),
    };
    for ((transport, manager), name) in managers().await.into_iter().zip(names) {
        let folder = Folder::new();
        let fifo = folder.fifo("go");
        let forking = format!("(read x <{fifo}; exit 5) &");
        for (kind, script) in [
            (Simple, "exit 5"),
            (Exec, "exit 5"),
            (Oneshot, "exit 5"),
            (Idle, "exit 5"),
            (Notify, notifying),
            (NotifyReload, reloading),
            (Forking, &forking),
            (Dbus, ""),
        ] {
            let mut command = Command::from(shell_line(script));
            if kind == Dbus {
                command = Command::from(["/usr/bin/perl", "-e", OWN_A_NAME, &bus, name, &fifo]);
                command.extra("BusName", name);
            }
            command.service_type(kind).collect(true).kill_on_drop(true).extra("NotifyAccess", "all");
            // So that the type can be read while the unit is there.
            let held = folder.fifo(kind.as_str());
            command.start_pre(["/bin/cat", &held]);
            let unit = match command.start(&manager).await {
                Ok(unit) => unit,
                Err(Error::Call { message, .. }) if kind == NotifyReload && systemd_version() < 253 => {
                    assert!(message.contains("Type"), "{message}");
                    continue;
                }
                Err(error) => panic!("{transport}, {kind:?}: {error}"),
            };
            let held = reader_of(&held).await;
            assert_eq!(unit.get("Type").await.unwrap(), kind.as_str().into(), "{transport}");
            drop(held);
            if kind == Forking || kind == Dbus {
                systemctl(&["start", unit.name()]);
                assert_eq!(unit.get("ActiveState").await.unwrap(), "active".into(), "{transport}, {kind:?}");
                drop(reader_of(&fifo).await);
            }
            let exit = soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(
                (exit.result, exit.status),
                (Outcome::ExitCode, Some(Status::Exited(5))),
                "{transport}, {kind:?}"
            );
        }
    }
}

/// Has the system bus allow these names, as long as it lives; a user's bus does anyway.
struct Policy;

impl Policy {
    const FILE: &str = "/etc/dbus-1/system.d/sdrun-test.conf";

    fn allow(names: [&str; 2]) -> Self {
        if support::is_root() {
            let rules = names.map(|name| format!("<allow own=\"{name}\"/>")).concat();
            let text = format!("<busconfig><policy user=\"root\">{rules}</policy></busconfig>");
            std::fs::write(Self::FILE, text).unwrap();
            Self::reload();
        }
        Policy
    }

    fn reload() {
        let arguments = ["call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig"];
        assert!(std::process::Command::new("busctl").args(arguments).status().unwrap().success());
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if support::is_root() {
            let _ = std::fs::remove_file(Self::FILE);
            Self::reload();
        }
    }
}

/// Takes a name on a bus, says so by reading a FIFO, and ends with 5 at its end.
const OWN_A_NAME: &str = r#"
use strict; use IO::Socket::UNIX;
my ($bus, $name, $fifo) = @ARGV;
my $socket = IO::Socket::UNIX->new(Peer => $bus) or die "$bus: $!";
$socket->autoflush(1);
print $socket "\0AUTH EXTERNAL " . unpack("H*", $<) . "\r\n";
<$socket> =~ /^OK/ or die "refused";
print $socket "BEGIN\r\n";
sub pad { my ($text, $to) = @_; $text . "\0" x (-length($text) % $to) }
sub call {
    my ($serial, $member, $signature, $body) = @_;
    my $fields = "";
    for ([1, "o", "/org/freedesktop/DBus"], [2, "s", "org.freedesktop.DBus"], [3, "s", $member], [6, "s", "org.freedesktop.DBus"]) {
        my ($code, $type, $text) = @$_;
        $fields = pad($fields, 8) . pack("C C a C x!4 V/a x", $code, 1, $type, 0, $text);
    }
    $fields = pad($fields, 8) . pack("C C a C C/a x", 8, 1, "g", 0, $signature) if $signature;
    print $socket pad(pack("a C C C V V V", "l", 1, 0, 1, length $body, $serial, length $fields) . $fields, 8) . $body;
}
call(1, "Hello", "", "");
call(2, "RequestName", "su", pad(pack("V/a x", $name), 4) . pack("V", 4));
# Or systemd sees that the name is lost, and stops it, before it sees that it has ended.
unless (fork) { sleep 1000; exit }
open my $go, "<", $fifo or die; <$go>;
exit 5;
"#;

/// With `ExitType=cgroup` the handle resolves with the last process (systemd issue 22811).
#[tokio::test]
async fn the_last_process_can_be_the_end() {
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let fifo = folder.fifo("go");
        let script = format!("(read x <{fifo}; echo done >{}) & exit 4", folder.path("out"));
        let unit =
            Command::from(shell_line(&script)).exit_type(ExitType::Cgroup).collect(true).start(&manager).await.unwrap();
        let child = reader_of(&fifo).await;
        let main_has_ended = async {
            while unit.get("MainPID").await.unwrap() != 0u32.into() {
                tokio::task::yield_now().await;
            }
        };
        soon("the end of the main process", main_has_ended).await;
        assert_eq!(unit.try_wait().unwrap(), None, "{transport}");
        assert_eq!(unit.get("ActiveState").await.unwrap(), "active".into(), "{transport}");
        drop(child);
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert_eq!(folder.read("out"), "done\n", "{transport}");
        assert_eq!(exit.status, Some(Status::Exited(4)), "{transport}: {exit:?}");
    }
}
