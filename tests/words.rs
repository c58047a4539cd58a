//! Words, variables and descriptions reach the program as they were given, byte for byte.

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use futures::{FutureExt, StreamExt, stream};
use sdrun::{Command, Error, Exec, Exit, Manager, Outcome, Status, Stdio};
use support::{managers, on_bus, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// Longest argument that Linux passes on.
const LONGEST: usize = 131_071;

async fn output(manager: &Manager, command: &mut Command) -> (Exit, Vec<u8>) {
    let unit = command.collect(true).stdout(Stdio::piped()).start(manager).await.unwrap_or_else(|e| panic!("{e}"));
    let output = soon("the output", unit.wait_with_output()).await.unwrap();
    (output.status, output.stdout)
}

/// What a program that writes each of its arguments and a NUL byte makes of these.
async fn echoed(manager: &Manager, words: &[&str]) -> Vec<String> {
    let (exit, out) = output(manager, Command::new("/usr/bin/printf").arg("%s\\0").args(words)).await;
    assert_eq!(exit.status, Some(Status::Exited(0)), "{exit:?}");
    let mut parts: Vec<_> = out.split(|byte| *byte == 0).map(|part| String::from_utf8(part.into()).unwrap()).collect();
    assert_eq!(parts.pop().as_deref(), Some(""));
    parts
}

#[tokio::test]
async fn words_arrive_as_they_are() {
    for (transport, manager) in managers().await {
        assert_eq!(echoed(&manager, &support::ODD_WORDS).await, support::ODD_WORDS, "{transport}");
        // Each alone, too: in a row one may shield another.
        let manager = &manager;
        let alone = stream::iter(support::ODD_WORDS)
            .map(|word| async move { (word, echoed(manager, &[word]).await) }.boxed())
            .buffer_unordered(16)
            .collect::<Vec<_>>();
        for (word, seen) in alone.await {
            assert_eq!(seen, [word], "{transport}");
        }
        let long = ["$;'x".repeat(LONGEST / 4), "a".repeat(LONGEST)];
        for long in &long {
            assert!(echoed(manager, &[long]).await == [long.as_str()], "{transport}");
        }
        let many: Vec<_> = (0..5000).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(echoed(manager, &many).await, many, "{transport}");
    }
}

/// All of Unicode but NUL and the 66 code points that stand for no character and that D-Bus does not carry.
#[tokio::test]
async fn every_character_arrives() {
    let carried = |c: &char| !matches!(u32::from(*c), 0xfdd0..=0xfdef) && u32::from(*c) & 0xfffe != 0xfffe;
    let mut words = vec![String::new()];
    for c in ('\u{1}'..=char::MAX).filter(carried) {
        if words.last().unwrap().len() + c.len_utf8() > LONGEST {
            words.push(String::new());
        }
        words.last_mut().unwrap().push(c);
    }
    assert_eq!(words.iter().map(|word| word.chars().count()).sum::<usize>(), 0x110000 - 0x800 - 1 - 66);
    for (transport, manager) in managers().await {
        // What a program is given must fit on a quarter of its stack.
        for words in words.chunks(8) {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            assert!(echoed(&manager, &words).await == words, "{transport}");
        }
    }
}

#[tokio::test]
async fn one_string_is_split_as_a_shell_does() {
    for (transport, manager) in managers().await {
        let line = "/usr/bin/printf '%s\\0' a 'b  c' \"d\\\"e\" f\\ g '' \"\" $HOME `x` * ~ ; '%n' h#i \"\\$X\" \\\\";
        let (_, out) = output(&manager, &mut Command::from(line)).await;
        let expected = "a|b  c|d\"e|f g|||$HOME|`x`|*|~|;|%n|h#i|$X|\\|";
        assert_eq!(String::from_utf8(out).unwrap().replace('\0', "|"), expected, "{transport}");
    }
}

#[tokio::test]
async fn variables_and_descriptions_arrive_as_they_are() {
    let every: String = ('\u{1}'..='\u{2ff}').collect();
    let words = support::ODD_WORDS.iter().copied().chain([every.as_str()]);
    let variables: BTreeMap<_, _> = words.enumerate().map(|(n, word)| (format!("ODD_{n}"), word.to_owned())).collect();
    for (transport, manager) in managers().await {
        let (_, out) = output(&manager, Command::new("/usr/bin/env").arg("-0").envs(&variables)).await;
        let out = String::from_utf8(out).unwrap();
        let seen = out.split_terminator('\0').filter_map(|line| line.split_once('='));
        let seen: BTreeMap<String, String> =
            seen.filter(|(name, _)| name.starts_with("ODD_")).map(|(n, v)| (n.into(), v.into())).collect();
        assert_eq!(seen, variables, "{transport}");

        for word in support::ODD_WORDS.iter().filter(|word| !word.is_empty()) {
            if word.contains(['\n', '\r']) || word.ends_with('\\') {
                let refused = Command::new("/bin/true").description(*word).start(&manager).await.unwrap_err();
                assert!(matches!(&refused, Error::Invalid { what: "description", .. }), "{transport}: {refused}");
                continue;
            }
            let mut command = Command::new("/bin/sleep");
            let unit = command.arg("1000").description(*word).kill_on_drop(true).start(&manager).await.unwrap();
            assert_eq!(unit.get("Description").await.unwrap(), (*word).into(), "{transport}");
        }
        // Made of the command line.
        let unit = Command::from(["/bin/sleep", "1000", "$a b\nc", "é"]);
        let unit = unit.clone().kill_on_drop(true).start(&manager).await.unwrap();
        assert_eq!(unit.get("Description").await.unwrap(), "/bin/sleep 1000 '$a b c' é".into(), "{transport}");
    }
}

#[tokio::test]
async fn variables_are_expanded_when_that_is_asked_for() {
    for (transport, manager) in managers().await {
        let mut command =
            Command::from(["/usr/bin/printf", "%s\\0", "${X}", "a${X}b", "$X", "$$X", "a$X", "$UNSET", "%n;"]);
        let (_, out) = output(&manager, command.env("X", "1 2").expand_environment(true)).await;
        let seen = String::from_utf8(out).unwrap().replace('\0', "|");
        assert_eq!(seen, "1 2|a1 2b|1|2|$X|a$X|%n;|", "{transport}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_an_error_by_name() {
    let manager = on_bus().await;
    let bytes = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
    let check = |what: &'static str, part: &'static str, command: &mut Command| {
        let (mut command, manager) = (command.clone(), manager.clone());
        async move {
            for error in [command.start(&manager).await.err(), command.spawn().err(), command.status().await.err()] {
                let error = error.unwrap_or_else(|| panic!("{what}, {part}: accepted"));
                let Error::Invalid { what: seen, .. } = &error else { panic!("{what}: {error:?}") };
                assert_eq!(*seen, what);
                assert!(error.to_string().contains(part), "{error}");
            }
        }
    };
    let command = || Command::new("/bin/true");
    check("argument", "(number 2) is not UTF-8", command().arg("a").arg(bytes(b"\xff"))).await;
    check("argument", "NUL", command().arg("a\0")).await;
    check("argument", "U+FFFF", command().arg("a\u{ffff}")).await;
    check("argument", "UTF-8", command().arg0(bytes(b"\xc3"))).await;
    check("program", "UTF-8", &mut Command::new(bytes(b"/\xff"))).await;
    check("program", "empty", &mut Command::new("")).await;
    check("command", "empty", &mut Command::from([""; 0])).await;
    check("command", "empty", &mut Command::from("")).await;
    check("command", "empty", &mut Command::from("  ")).await;
    check("command line", "never closed", &mut Command::from("/bin/echo 'a")).await;
    check("environment variable", "UTF-8", command().env("A", bytes(b"\xff"))).await;
    check("environment variable", "invalid name", command().env("A=B", "")).await;
    check("argument", "UTF-8", command().start_pre(Exec::new("/bin/true").arg(bytes(b"\xff")))).await;
    check("command line", "closed", command().stop_post("'")).await;
    check("directory", "UTF-8", command().current_dir(OsStr::from_bytes(b"/\xff"))).await;
    check("directory", "line break", command().current_dir("/a\nb")).await;
    check("user", "empty", command().user("")).await;
    check("group", "NUL", command().group("a\0")).await;
    check("nice level", "-20 and 19", command().nice(20)).await;
    check("slice", "\"/\"", command().slice("a/b")).await;
    check("unit name", "\" \"", command().name("a b")).await;
    check("property name", "empty", command().extra("", 1u32)).await;
    check("runtime_max", "no time", command().runtime_max(std::time::Duration::ZERO)).await;
}

#[tokio::test]
async fn the_first_argument_can_be_another() {
    for (transport, manager) in managers().await {
        for name in ["odd $X; %n", "", "-sh", "é\n"] {
            let (_, out) = output(&manager, Command::from(["/bin/sh", "-c", "cat /proc/$$/cmdline"]).arg0(name)).await;
            let seen = String::from_utf8(out).unwrap();
            assert_eq!(seen.split('\0').next(), Some(name), "{transport}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_failure_can_be_ignored() {
    for (transport, manager) in managers().await {
        let (exit, _) = output(&manager, Command::from("/bin/sh -c 'exit 7'").ignore_failure(true)).await;
        assert_eq!((exit.result, exit.status), (Outcome::Success, Some(Status::Exited(7))), "{transport}");
        let (exit, _) = output(&manager, Command::from("/bin/sh -c 'exit 7' '$'").ignore_failure(true)).await;
        assert_eq!((exit.result, exit.status), (Outcome::Success, Some(Status::Exited(7))), "{transport}");
        // systemd 252 takes 0 for the status of what it could not execute, then.
        let (exit, _) = output(&manager, Command::new("/no/such").ignore_failure(true)).await;
        assert_eq!(exit.result, Outcome::Success, "{transport}");
        assert!(matches!(exit.status, Some(Status::Exited(0 | 203))), "{transport}: {exit:?}");
    }
}

#[tokio::test]
async fn programs_are_found_in_the_path() {
    let folder = std::env::temp_dir().join(format!("sdrun-path-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["tool", "odd $name; %n"] {
        std::os::unix::fs::symlink("/bin/echo", folder.join(name)).unwrap();
    }
    for (transport, manager) in managers().await {
        let mut own = Command::new("echo");
        assert_eq!(output(&manager, own.arg("own")).await.1, b"own\n", "{transport}");
        let path = format!("/nonexistent:{}", folder.display());
        for name in ["tool", "odd $name; %n"] {
            let mut given = Command::new(name);
            assert_eq!(output(&manager, given.arg("given").env("PATH", &path)).await.1, b"given\n", "{transport}");
        }
        // The variable may be set after the program was named, and the program's own is what counts.
        let missing = Command::new("echo").env("PATH", &folder).start(&manager).await.unwrap_err();
        assert!(matches!(&missing, Error::ProgramNotFound { program } if &**program == "echo"), "{missing:?}");
        assert_eq!(std::io::Error::from(missing).kind(), std::io::ErrorKind::NotFound);
        let missing = Command::new("/bin/true").stop("no-such-tool").start(&manager).await.unwrap_err();
        assert!(matches!(&missing, Error::ProgramNotFound { program } if &**program == "no-such-tool"), "{missing:?}");
        let missing = Command::new("no-such-tool").spawn().unwrap_err();
        assert!(matches!(missing, Error::ProgramNotFound { .. }));

        let relative = format!("{}bin/echo", "../".repeat(40));
        assert_eq!(output(&manager, Command::new(relative).arg("up")).await.1, b"up\n", "{transport}");
        let exit = output(&manager, &mut Command::new("./no-such-tool")).await.0;
        assert_eq!(exit.status, Some(Status::Exited(203)), "{transport}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
