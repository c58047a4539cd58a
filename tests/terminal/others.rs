//! Terminals that are two, in the background, or go on without the process that has started the unit.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sdrun::{Command, Error, Forwarded};
use sdrun_sys::terminal::{self, Window};

use crate::outer::{self, Outer};
use crate::support::{self, Folder, soon};
use crate::{go, manager, ready, runtime};

#[test]
#[ignore = "run on a scripted terminal"]
fn two() {
    runtime().block_on(async {
        let script = "stty size; echo up; read line; echo \"got $line\"";
        let mut command = Command::from(["/bin/sh", "-c", script]);
        let mut unit = command.env("TERM", "dumb").pty().start(&manager().await).await.unwrap();
        let other = File::options().write(true).open(std::env::var("OTHER").unwrap()).unwrap();
        let end = unit.forward_terminal(std::io::stdin(), &other).await.unwrap();
        println!("{end:?}.");
        go().await;
    });
}

/// Which of the modes differ: of the input, the output, the hardware, the line.
fn changed(before: &str, now: &str) -> [bool; 4] {
    let fields = |modes: &str| modes.split(':').map(str::to_owned).collect::<Vec<_>>();
    let (before, now) = (fields(before), fields(now));
    std::array::from_fn(|at| before[at] != now[at])
}

#[test]
fn typed_on_one_terminal_and_shown_on_another() {
    let master = terminal::open_master().unwrap();
    let slave = terminal::open_peer(master.as_fd()).unwrap();
    terminal::set_window(master.as_fd(), Window { rows: 21, columns: 71, width: 0, height: 0 }).unwrap();
    let before = outer::modes(&slave);
    let path = format!("/dev/pts/{}", terminal::peer_number(master.as_fd()).unwrap());
    let mut outer = Outer::run("others::two", &[("OTHER", &path)]);
    let mut master = File::from(master);
    let mut next = || line(&mut master);
    // The size is that of the one which shows the output.
    assert_eq!([next(), next()], ["21 71", "up"]);
    let [input, output, _, line] = changed(&outer.before, &outer.modes());
    assert!(input && line && !output, "{} {}", outer.before, outer.modes());
    assert_eq!(changed(&before, &outer::modes(&slave)), [false, true, false, false]);
    outer.type_keys("typed\r");
    assert_eq!([next(), next()], ["typed", "got typed"]);
    outer.expect("Ended.");
    assert_eq!((outer.modes(), outer::modes(&slave)), (outer.before.clone(), before));
    outer.go();
    assert!(outer.end().success());
}

/// The next line that a terminal shows.
fn line(master: &mut File) -> String {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        let within = PollTimeout::try_from(support::DEADLINE).unwrap();
        assert!(poll(&mut [PollFd::new(master.as_fd(), PollFlags::POLLIN)], within) != Ok(0), "only {line:?}");
        let mut byte = [0];
        master.read_exact(&mut byte).unwrap();
        line.push(byte[0].into());
    }
    line.trim_end().into()
}

#[test]
#[ignore = "run on a scripted terminal"]
fn background() {
    runtime().block_on(async {
        let mut unit = ready().await;
        // As standard output alone the terminal serves from there too.
        let null = File::open("/dev/null").unwrap();
        let end = unit.forward_terminal(&null, std::io::stdout()).await.unwrap();
        println!("shown, {end:?}.");
        let mut unit = ready().await;
        let error = unit.forward_terminal(std::io::stdin(), std::io::stdout()).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        println!("refused: {error};");
        // Until it is brought to the foreground.
        let end = loop {
            match unit.forward_terminal(std::io::stdin(), std::io::stdout()).await {
                Err(Error::Invalid { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                end => break end.unwrap(),
            }
        };
        assert!(matches!(end, Forwarded::Ended), "{end:?}");
        println!("then {end:?}.");
    });
}

#[test]
fn in_the_background_it_is_refused_and_later_it_works() {
    // A shell looks for the terminal at its standard error, which is the helper's signal here.
    let script = "exec 9>&2 2>/dev/tty; exec bash --norc -m -c '\"$@\" 2>&9 & read line; fg' bash \"$@\"";
    let shell = ["sh", "-c", script, "sh"];
    let mut outer = Outer::run_under(&shell, "others::background", &[]);
    // The terminal does what it always does to a line's end: the modes are left alone.
    outer.expect("up\r\r\n");
    outer.expect("shown, Ended.");
    outer.expect("refused: ");
    let error = outer.expect(";");
    assert!(error.contains("stdin") && error.contains("fg"), "{error}");
    assert_eq!(outer.modes(), outer.before);
    outer.type_keys("\n");
    outer.expect("up\r\n");
    assert_ne!(outer.modes(), outer.before);
    outer.type_keys("keys\r");
    outer.expect("keys\r\nkeys\r\n");
    outer.type_keys("\x04");
    outer.expect("then Ended.");
    assert!(outer.end().success());
    assert_eq!(outer.modes(), outer.before);
}

#[test]
#[ignore = "run on a scripted terminal"]
fn activated() {
    runtime().block_on(async {
        let script =
            format!("read x < {}; echo from the unit; echo and its errors >&2", std::env::var("FIFO").unwrap());
        let mut command = Command::from(["/bin/sh", "-c", &script]);
        command.collect(true).stdin(sdrun::Stdio::null());
        if std::env::var("WAY").unwrap() == "path" {
            command.pty_path(std::fs::read_link("/proc/self/fd/0").unwrap());
        } else {
            let stdout = std::io::stdout();
            command.stdout(sdrun::Stdio::inherit()).stderr(stdout.as_fd().try_clone_to_owned().unwrap());
        }
        let unit = command.start(&manager().await).await.unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        drop(unit);
        println!("it is up.");
    });
}

/// systemd issues 32725 and 30606: the output comes to the terminal from which the unit was started, also when what has
/// started it waits for nothing but the activation, and ends.
#[test]
fn the_own_terminal_goes_on_without_who_has_started_the_unit() {
    for way in ["path", "inherit"] {
        let folder = Folder::new();
        let fifo = folder.fifo("fifo");
        let shell = ["sh", "-c", "\"$@\"; echo \"status $?.\"; read line", "sh"];
        let mut outer = Outer::run_under(&shell, "others::activated", &[("WAY", way), ("FIFO", &fifo)]);
        outer.expect("it is up.");
        outer.expect("status 0.");
        runtime().block_on(async { drop(support::reader_of(&fifo).await) });
        outer.expect("from the unit\r\n");
        outer.expect("and its errors\r\n");
        outer.type_keys("\n");
        assert!(outer.end().success(), "{way}");
    }
}
