//! A program that was written for tokio, compiled with tokio's types and with sdrun's: only its `use` line is another.

mod support;

use std::path::PathBuf;

use support::soon;

/// Again as an ordinary user, with its user manager.
#[test]
fn again_as_user() {
    support::again_as_user();
}

#[allow(clippy::useless_conversion)] // errors are std's here
mod with_tokio {
    use {std::process::Stdio, tokio::process::Command};

    include!("tokio_port/program.rs");
}

mod with_sdrun {
    use sdrun::{Command, Stdio};

    include!("tokio_port/program.rs");
}

#[tokio::test]
async fn only_the_use_line_is_another() {
    both().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_many_threads() {
    both().await;
}

async fn both() {
    let user = nix::unistd::User::from_name("tester").unwrap().expect("the sandbox has the user");
    let user = support::is_root().then_some((user.uid.as_raw(), user.gid.as_raw()));
    let folder = |name: &str| {
        let thread = std::thread::current().name().unwrap_or("unnamed").replace("::", "-");
        let path: PathBuf = format!("/tmp/sdrun-port-{name}-{}-{thread}", std::process::id()).into();
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (one, other) = (folder("tokio"), folder("sdrun"));
    let with_tokio = soon("with tokio", with_tokio::run(&one, user)).await.unwrap();
    let with_sdrun = soon("with sdrun", with_sdrun::run(&other, user)).await.unwrap();
    assert_eq!(with_tokio, with_sdrun);
    // And they are what they should be.
    assert_eq!(with_tokio[0], r#""hello world\n" []"#);
    assert!(with_tokio.iter().any(|result| result.contains("HELLO WORLD!")), "{with_tokio:#?}");
    for folder in [one, other] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}
