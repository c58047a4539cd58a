//! `examples/batch.rs`.

use nix::sys::signal::Signal;

use super::program::{Program, alone, calm, property};
use super::support::{Folder, systemctl, until};

/// Waits for the file `gate` in this folder, whose path is `$FOLDER`.
const WAIT: &str = r#"until [ -e "$FOLDER/gate" ]; do sleep 0.02; done"#;

/// Runs these lines, which find a folder at `$FOLDER`.
fn batch(folder: &Folder, options: &[&str], jobs: &[String]) -> Program {
    std::fs::write(folder.path("jobs"), format!("# A comment, and nothing.\n\n{}\n", jobs.join("\n"))).unwrap();
    let environment = format!("Environment=FOLDER={}", folder.path(""));
    Program::start("batch", &[options, &["-p", &environment, &folder.path("jobs")]].concat())
}

/// The result in each line of the table, in order, and the last line.
fn results(said: &[String]) -> (Vec<String>, String) {
    let at = said.iter().position(|line| line.ends_with("  JOB")).expect("a table");
    let (last, rows) = said[at + 1..].split_last().expect("a last line");
    let from = said[at].find("RESULT").unwrap();
    (rows.iter().map(|row| row[from..].split("  ").next().unwrap().to_owned()).collect(), last.clone())
}

/// Waits until a batch has left nothing behind.
async fn nothing_left(process: u32) {
    let pattern = format!("sdrun*{process}*");
    until("all units are gone", || systemctl(&["list-units", "--all", "--no-legend", &pattern]).is_empty()).await;
}

#[tokio::test]
async fn the_table_says_how_each_ended() {
    let _calm = calm().await;
    let folder = Folder::new();
    let jobs = ["echo ran >\"$FOLDER/ran\"", "exit 3", "kill -KILL $$", "kill -TERM $$", "sleep 1000", "true | cat"];
    let program = batch(&folder, &["-j", "6", "-p", "RuntimeMaxSec=1"], &jobs.map(String::from));
    let process = program.id();
    let (status, said) = program.end().await;
    assert_eq!(status.code(), Some(1), "{said:?}");
    let (results, last) = results(&said);
    let kill = |signal| format!("killed, signal {signal}");
    assert_eq!(
        results,
        ["ok", "exited, status 3", &kill("9 (SIGKILL)"), &kill("15 (SIGTERM)"), "timeout", "ok"],
        "{said:#?}"
    );
    assert!(last.starts_with("6 jobs: 2 ok, 4 failed, in "), "{last}");
    assert!(said.iter().any(|line| line.ends_with("  sleep 1000")), "{said:#?}");
    assert_eq!(folder.read("ran"), "ran\n");
    nothing_left(process).await;
}

#[tokio::test]
async fn the_cpu_time_is_that_of_the_job() {
    let _calm = calm().await;
    let folder = Folder::new();
    // Until the shell itself has used 50 ms, as it sees in the 14th and 15th field: 10 ms each.
    let busy = "while read -r stat </proc/$$/stat; set -- $stat; [ $((${14} + ${15})) -lt 5 ]; do :; done".to_owned();
    let (status, said) = batch(&folder, &[], &[busy]).end().await;
    assert!(status.success(), "{said:?}");
    let row = said.iter().find(|line| line.contains("/proc/")).unwrap();
    let figures: Vec<_> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let seconds = |cell: &str| cell.strip_suffix(" s").unwrap().parse::<f64>().unwrap();
    // Where systemd counts it at all it is at least what the job itself has waited for.
    assert!(seconds(figures[0]) > 0.0 && (figures[1] == "-" || seconds(figures[1]) >= 0.05), "{row}");
}

#[tokio::test]
async fn all_is_well() {
    let _calm = calm().await;
    let folder = Folder::new();
    let jobs: Vec<_> = (0..20).map(|number| format!("echo {number} >>\"$FOLDER/{number}\"")).collect();
    let (status, said) = batch(&folder, &[], &jobs).end().await;
    assert!(status.success(), "{said:?}");
    assert_eq!(results(&said).0, ["ok"; 20]);
    assert!((0..20).all(|number| folder.read(&number.to_string()) == format!("{number}\n")));
}

#[tokio::test]
async fn no_more_run_at_once_than_may() {
    let _calm = calm().await;
    let folder = Folder::new();
    let job = |number| {
        let own = format!("\"$FOLDER/run.{number}\"");
        format!("mkdir {own}; ls -d \"$FOLDER\"/run.* | wc -l >\"$FOLDER/count.{number}\"; {WAIT}; rmdir {own}")
    };
    let jobs: Vec<_> = (0..9).map(job).collect();
    let program = batch(&folder, &["-j", "3"], &jobs);
    let counts = || (0..9).filter_map(|number| folder.read(&format!("count.{number}")).trim().parse().ok());
    until("three run", || counts().count() == 3).await;
    std::fs::write(folder.path("gate"), "").unwrap();
    assert!(program.end().await.0.success());
    assert_eq!((counts().count(), counts().max()), (9, Some(3)));
}

#[tokio::test]
async fn each_has_its_limits() {
    let _calm = calm().await;
    let folder = Folder::new();
    let job = |number| {
        format!(
            "cat /proc/self/cgroup >\"$FOLDER/new.{number}\"; mv \"$FOLDER/new.{number}\" \"$FOLDER/{number}\"; {WAIT}"
        )
    };
    let program = batch(&folder, &["-j", "2", "-m", "64M", "-c", "50", "-p", "TasksMax=77"], &[job(0), job(1)]);
    for number in ["0", "1"] {
        until("a job runs", || !folder.read(number).is_empty()).await;
        let cgroup = folder.read(number);
        let unit = cgroup.trim().rsplit('/').next().unwrap().to_owned();
        assert!(unit.ends_with(".service"), "{cgroup}");
        let shown = ["MemoryMax", "CPUQuotaPerSecUSec", "TasksMax"].map(|name| property(&unit, name));
        assert_eq!(shown, [&(64 << 20).to_string(), "500ms", "77"], "{unit}");
    }
    std::fs::write(folder.path("gate"), "").unwrap();
    assert!(program.end().await.0.success());
}

#[tokio::test]
async fn wrong_settings_are_found_before_anything_runs() {
    let _calm = calm().await;
    let folder = Folder::new();
    for wrong in [["-m", "2X"], ["-c", "much"], ["-p", "MemoryMax"], ["-j", "0"], ["-x", "y"]] {
        let (status, said) = batch(&folder, &wrong, &["touch \"$FOLDER/ran\"".into()]).end().await;
        assert_eq!((status.code(), said.len()), (Some(2), 0), "{wrong:?}: {said:?}");
    }
    assert!(!std::path::Path::new(&folder.path("ran")).exists());
}

#[tokio::test]
async fn an_interrupt_stops_them() {
    let _calm = calm().await;
    let folder = Folder::new();
    let job = |number| format!("echo >\"$FOLDER/{number}\"; exec sleep 1000");
    let program = batch(&folder, &["-j", "2"], &[job(0), job(1), job(2)]);
    let process = program.id();
    until("two run", || ["0", "1"].iter().all(|number| !folder.read(number).is_empty())).await;
    program.signal(Signal::SIGINT);
    let (status, said) = program.end().await;
    assert_eq!(status.code(), Some(1), "{said:?}");
    let killed = "killed, signal 15 (SIGTERM)";
    assert_eq!(results(&said).0, [killed, killed, "not started"], "{said:?}");
    assert!(folder.read("2").is_empty());
    nothing_left(process).await;
}

/// The manager executes itself anew while jobs run, end and are to be started: all are told of, once and truly.
#[tokio::test]
async fn systemd_executes_itself_anew_meanwhile() {
    let _alone = alone().await;
    let folder = Folder::new();
    let jobs: Vec<_> = (0..40).map(|number| format!("echo >\"$FOLDER/{number}\"; {WAIT}; exit {number}")).collect();
    let program = batch(&folder, &["-j", "20"], &jobs);
    until("some run", || (0..20).all(|number| !folder.read(&number.to_string()).is_empty())).await;
    std::fs::write(folder.path("gate"), "").unwrap();
    systemctl(&["daemon-reexec"]);
    let (status, said) = program.end().await;
    assert_eq!(status.code(), Some(1), "{said:?}");
    let expected: Vec<_> =
        (0..40).map(|number| if number == 0 { "ok".to_owned() } else { format!("exited, status {number}") }).collect();
    assert_eq!(results(&said).0, expected, "{said:#?}");
}
