//! Standard streams: descriptors that are handed over, pipes, files, and a command's whole output.

mod support;

use sdrun::{Command, Exit, Manager, Stdio};
use support::{managers, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

fn sh(script: &str) -> Command {
    let mut command = Command::from(["/bin/sh", "-c", script]);
    command.collect(true);
    command
}

async fn output(manager: &Manager, command: &mut Command) -> (Exit, String, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let unit = command.start(manager).await.unwrap();
    let output = soon("the output", unit.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn output_is_told_apart() {
    for (transport, manager) in managers().await {
        let (exit, out, err) = output(&manager, &mut sh("echo out; echo err >&2; exit 3")).await;
        assert_eq!((exit.code(), &*out, &*err), (Some(3), "out\n", "err\n"), "{transport}");
    }
}
