//! What becomes of the terminal when the handle is awaited as a whole, taken apart or dropped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};

use sdrun::{Command, Manager, Status, Stdio};
use sdrun_sys::terminal;
use tokio::io::AsyncReadExt;

use crate::support::{self, Folder, managers, soon};
use crate::{all, shell};

fn number(terminal: impl AsFd) -> u32 {
    terminal::peer_number(terminal.as_fd()).unwrap()
}

/// It would be held up for ever if nobody read, and get SIGHUP if the terminal were closed.
#[tokio::test]
async fn awaited_as_a_whole_the_terminal_is_read_until_the_end() {
    const SCRIPT: &str = "seq 100000; exit 3";

    for (name, manager) in managers().await {
        let unit = shell(SCRIPT).env("TERM", "dumb").pty().start(&manager).await.unwrap();
        assert_eq!(soon("the exit", unit).await.unwrap().status, Some(Status::Exited(3)), "{name}");
    }
    let exit = soon("status", shell(SCRIPT).env("TERM", "dumb").pty().status()).await.unwrap();
    assert_eq!(exit.status, Some(Status::Exited(3)));
    // Beside pipes the terminal is the standard input, to which one can write.
    let mut command = shell("seq 100000 >&0; echo piped; exit 3");
    let output = soon("output", command.env("TERM", "dumb").pty().output()).await.unwrap();
    assert_eq!((output.status.status, &*output.stdout), (Some(Status::Exited(3)), &b"piped\n"[..]));
    assert!(output.stderr.is_empty());
}

/// The unit ends, and with it the waiting, though something else has the terminal open.
#[tokio::test]
async fn awaited_as_a_whole_no_longer_than_the_unit() {
    for (name, manager) in managers().await {
        let mut command = shell("trap '' HUP; sleep 1000 & exit 4");
        command.env("TERM", "dumb").extra("KillMode", "process").pty();
        let unit = command.start(&manager).await.unwrap();
        let unit_name = unit.name().to_owned();
        assert_eq!(soon("the exit", unit).await.unwrap().status, Some(Status::Exited(4)), "{name}");
        // What remained.
        let _ = std::process::Command::new("systemctl")
            .args([support::scope(), "kill", "--signal=KILL", &unit_name])
            .output();
    }
}

#[tokio::test]
async fn taken_it_ends_with_the_unit_whose_handle_is_dropped() {
    for (name, manager) in managers().await {
        let folder = Folder::new();
        let fifo = folder.fifo("fifo");
        let mut unit =
            shell(&format!("read x < {fifo}; echo later")).env("TERM", "dumb").pty().start(&manager).await.unwrap();
        let mut pty = unit.pty.take().unwrap();
        drop(unit);
        drop(support::reader_of(&fifo).await);
        assert_eq!(all(&mut pty).await, "later\r\n", "{name}");
    }
}

#[tokio::test]
async fn taken_it_ends_with_the_unit_that_is_stopped_by_the_handle() {
    for (name, manager) in managers().await {
        let mut command = shell("echo up; exec sleep 1000");
        let mut unit = command.env("TERM", "dumb").kill_on_drop(true).pty().start(&manager).await.unwrap();
        let mut pty = unit.pty.take().unwrap();
        let mut up = [0; 4];
        soon("the program", pty.read_exact(&mut up)).await.unwrap();
        drop(unit);
        assert_eq!(all(&mut pty).await, "", "{name}");
        // With the terminal still in the handle.
        let unit = command.start(&manager).await.unwrap();
        let unit_name = unit.name().to_owned();
        drop(unit);
        gone(&manager, &unit_name).await;
    }
}

/// Until systemd knows the unit no more.
async fn gone(manager: &Manager, name: &str) {
    let gone = async {
        while manager.unit(name).await.is_ok_and(|unit| unit.try_wait().is_ok_and(|end| end.is_none())) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon("the unit's end", gone).await;
}

#[tokio::test]
async fn spawned_it_is_there_at_once() {
    let mut unit = shell("tty; exit 6").env("TERM", "dumb").pty().spawn().unwrap();
    let mut pty = unit.pty.take().unwrap();
    let path = format!("/dev/pts/{}\r\n", number(&pty));
    assert_eq!(all(&mut pty).await, path);
    assert_eq!(soon("the exit", unit).await.unwrap().status, Some(Status::Exited(6)));
}

/// systemd issues 32725 and 30606: nobody waits for the end, and the output comes all the same.
#[tokio::test]
async fn on_a_terminal_of_the_callers_own_it_goes_on_without_the_handle() {
    for (name, manager) in managers().await {
        for way in ["tty", "null", "descriptor"] {
            let folder = Folder::new();
            let fifo = folder.fifo("fifo");
            let master = terminal::open_master().unwrap();
            let slave = terminal::open_peer(master.as_fd()).unwrap();
            let mut command = shell(&format!("read x < {fifo}; echo later"));
            command.env("TERM", "dumb");
            match way {
                "tty" => command.pty_path(format!("/dev/pts/{}", number(&master))),
                "null" => command.pty_path(format!("/dev/pts/{}", number(&master))).stdin(Stdio::null()),
                _ => command.stdout(slave.try_clone().unwrap()),
            };
            let unit = command.start(&manager).await.unwrap();
            soon("the activation", unit.activated()).await.unwrap();
            let unit_name = unit.name().to_owned();
            drop((unit, command));
            drop(support::reader_of(&fifo).await);
            let read = move || {
                let mut line = String::new();
                BufReader::new(blocking(master)).read_line(&mut line).unwrap();
                line
            };
            let line = soon("a line", tokio::task::spawn_blocking(read)).await.unwrap();
            assert_eq!(line, "later\r\n", "{name}, {way}");
            gone(&manager, &unit_name).await;
            drop(slave);
        }
    }
}

fn blocking(fd: OwnedFd) -> File {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    fcntl(&fd, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    fd.into()
}

/// When a unit ends, systemd changes the owner of the path that its terminal had.
#[tokio::test]
async fn its_number_is_no_other_terminals_until_the_unit_has_ended() {
    for (name, manager) in managers().await {
        let folder = Folder::new();
        let fifo = folder.fifo("fifo");
        // It leaves the terminal: what has that open keeps its number taken too.
        let script = format!("trap '' HUP; echo up; exec < /dev/null > /dev/null 2>&1; read x < {fifo}");
        let mut command = Command::from(["/bin/sh", "-c", &script]);
        let mut unit = command.env("TERM", "dumb").collect(true).pty().start(&manager).await.unwrap();
        let mut pty = unit.pty.take().unwrap();
        let mut up = [0; 4];
        soon("the program", pty.read_exact(&mut up)).await.unwrap();
        let number_of_unit = number(&pty);
        drop(pty);
        let reader = support::reader_of(&fifo).await;
        let some = || (0..40).map(|_| terminal::open_master().unwrap()).any(|master| number(master) == number_of_unit);
        let open: Vec<_> = (0..40).map(|_| terminal::open_master().unwrap()).collect();
        assert!(open.iter().all(|master| number(master) != number_of_unit), "{name}");
        drop((unit, open));
        drop(reader);
        // Then it is given back.
        let free = async {
            while !some() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        soon("the number", free).await;
    }
}
