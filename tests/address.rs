//! Managers by the D-Bus address of their bus or of their own socket.

mod support;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use sdrun::{Command, Error, Manager, Status, Transport};
use support::soon;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Everything in this file again as an ordinary user.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// The bridge of libsystemd from its standard input and output to a bus.
const BRIDGE: &str = "unixexec:path=systemd-stdio-bridge";

/// The bus and the private socket of a manager that is nobody's default: each leads to it, and so do other ways to the
/// same sockets.
#[tokio::test]
async fn a_second_bus() {
    let second = Second::start();
    let bus = second.directory.join("bus");
    let private = second.directory.join("systemd/private");
    let (bus_address, private_address) = (unix(&bus), unix(&private));
    for transport in [Transport::Bus, Transport::Auto] {
        second.is_at(&bus_address, transport).await;
    }
    second.is_at(&private_address, Transport::Private).await;
    second.is_at(&format!("{bus_address},guid=00000000000000000000000000000000"), Transport::Bus).await;
    second.is_at(&format!("{BRIDGE},argv1=--bus-path={}", bus_address.replace('=', "%3d")), Transport::Bus).await;

    // Sockets that somebody else listens at, and passes on: at a path that an address cannot hold as it is, and at none.
    for (socket, address, transport) in
        [(&bus, bus_address, Transport::Bus), (&private, private_address, Transport::Private)]
    {
        let odd = second.directory.join(format!("a, b; c=%d {transport:?}"));
        pass_on(StdListener::bind(&odd).unwrap(), socket);
        second.is_at(&unix(&odd), transport).await;
        let name = format!("sdrun-address-{}-{transport:?}", std::process::id());
        pass_on(StdListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(), socket);
        second.is_at(&format!("unix:abstract={name}"), transport).await;

        // Of several addresses, the first that somebody listens at.
        let stale = second.directory.join(format!("stale-{transport:?}"));
        drop(StdListener::bind(&stale).unwrap());
        for before in ["unix:path=/nonexistent/one".to_owned(), unix(&stale), "unix:abstract=sdrun-nobody".to_owned()] {
            second.is_at(&format!("{before};{address}"), transport).await;
            second.is_at(&format!("{before};{before};{address};unix:path=/nonexistent/two"), transport).await;
        }
    }
}

/// The sockets of the managers that are somebody's default.
#[tokio::test]
async fn the_usual_sockets() {
    let (bus, private, runtime) = if support::is_root() {
        ("/run/dbus/system_bus_socket".into(), "/run/systemd/private".into(), String::new())
    } else {
        let runtime = std::env::var("XDG_RUNTIME_DIR").unwrap();
        (format!("{runtime}/bus"), format!("{runtime}/systemd/private"), runtime)
    };
    let (bus, private) = (unix(Path::new(&bus)), unix(Path::new(&private)));
    let bridge = format!("{BRIDGE},argv1=--bus-path={}", bus.replace('=', "%3d"));
    let mut addresses = vec![(&*bus, Transport::Bus), (&private, Transport::Private), (&bridge, Transport::Bus)];
    if support::is_root() {
        addresses.push((BRIDGE, Transport::Bus)); // by itself it leads to the system bus
    }
    for (address, transport) in addresses {
        is_at(address, transport, &runtime).await;
        is_at(&format!("unix:path=/nonexistent/one;{address}"), transport, &runtime).await;
    }
}

/// What cannot be connected to is an error that names the address, at once.
#[tokio::test]
async fn addresses_that_lead_nowhere() {
    for (address, says) in [
        // not addresses
        ("nonsense", "not a D-Bus address"),
        ("", "not a D-Bus address"),
        (";", "not a D-Bus address"),
        ("/run/dbus/system_bus_socket", "not a D-Bus address"),
        ("autolaunch:", "not a D-Bus address"),
        // with a mistake in them
        ("unix:", "mistake in the address"),
        ("unix:nonsense=/a", "mistake in the address"),
        ("unix:path=/%zz", "mistake in the address"),
        ("unix:path=/a,path=/b", "mistake in the address"),
        ("unix:path=/a,guid=1", "mistake in the address"),
        ("unixexec:", "mistake in the address"),
        ("tcp:host=127.0.0.1", "mistake in the address"),
        (&format!("unix:path=/{}", "a".repeat(200)), "107 bytes"), // longer than a socket's path may be
        // where nobody listens
        ("unix:path=/nonexistent/socket", "No such file"),
        ("unix:path=/etc/passwd", ""), // which error depends on who is asking
        ("unix:abstract=sdrun-nobody", "Connection refused"),
        ("unix:path=/nonexistent/socket;unix:abstract=sdrun-nobody", "Connection refused"),
        ("x-machine-unix:machine=sdrun-no-such-machine", "machinectl list"),
        // programs that do not speak D-Bus
        ("unixexec:path=/nonexistent/program", "program of the address"),
        ("unixexec:path=/bin/false", "program of the address"),
        (&format!("{BRIDGE},argv1=--bus-path=unix:path%3d/nonexistent"), ""),
    ] {
        for transport in [Transport::Auto, Transport::Bus, Transport::Private] {
            leads_nowhere(address, transport, says).await;
        }
    }
    let nul = Manager::builder().address("unix:path=/a\0").connect().await;
    assert!(matches!(nul, Err(Error::Invalid { .. })), "{nul:?}");

    // A socket whose owner closes every connection.
    let path = std::env::temp_dir().join(format!("sdrun-closing-{}", std::process::id()));
    let listener = StdListener::bind(&path).unwrap();
    let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
    leads_nowhere(&unix(&path), Transport::Bus, "").await;
    closing.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Sockets of a manager, but not as what they are taken for.
#[tokio::test]
async fn the_wrong_transport() {
    let second = Second::start();
    let bus = unix(&second.directory.join("bus"));
    let private = unix(&second.directory.join("systemd/private"));
    for transport in [Transport::Auto, Transport::Bus] {
        leads_nowhere(&private, transport, "Transport::Private").await; // it does not answer Hello
    }
    leads_nowhere(&format!("{bus},guid=11111111111111111111111111111111"), Transport::Bus, "guid=").await; // another bus
    // A bus daemon takes the first call for its own.
    let address = bus.clone();
    let started = soon("the error", async move {
        let manager = Manager::builder().address(address).transport(Transport::Private).connect().await?;
        Command::new("/bin/true").start(&manager).await
    });
    assert!(started.await.is_err());
    second.is_at(&bus, Transport::Bus).await; // unharmed
}

/// A bus daemon with a configuration of its own, on which there is no manager.
#[tokio::test]
async fn a_bus_without_a_manager() {
    let directory = std::env::temp_dir().join(format!("sdrun-lonely-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let (address, configuration) = (unix(&directory.join("socket")), directory.join("bus.conf"));
    let text = format!(
        "<busconfig><listen>{address}</listen><auth>EXTERNAL</auth><policy context='default'><allow user='*'/>\
         <allow send_destination='*'/><allow receive_sender='*'/><allow own='*'/></policy></busconfig>"
    );
    std::fs::write(&configuration, text).unwrap();
    let mut daemon = tokio::process::Command::new("dbus-daemon")
        .arg(format!("--config-file={}", configuration.display()))
        .args(["--nofork", "--print-address"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null()) // an ordinary user's cannot raise its limits, and says so
        .kill_on_drop(true)
        .spawn()
        .expect("dbus-daemon runs");
    let mut line = String::new();
    let mut said = BufReader::new(daemon.stdout.take().unwrap());
    soon("its address", said.read_line(&mut line)).await.unwrap();
    assert!(line.starts_with(&address), "{line:?}");
    let started = soon("the error", async {
        let manager = Manager::builder().address(&address).connect().await?;
        Command::new("/bin/true").start(&manager).await
    });
    let error = started.await.unwrap_err().to_string();
    assert!(error.contains("org.freedesktop.systemd1") || error.contains(&address), "{error}");
    daemon.kill().await.unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

async fn leads_nowhere(address: &str, transport: Transport, says: &str) {
    let connected = soon("the error", Manager::builder().address(address).transport(transport).connect()).await;
    let Err(error @ Error::Unavailable { manager, reason }) = &connected else { panic!("{address}: {connected:?}") };
    assert!(manager.contains(address), "{address} is not in {manager}");
    assert!(!reason.is_empty() && reason.contains(says), "{address}: {says:?} is not in {reason}");
    let text = error.to_string();
    assert!(text.contains(address) && text.contains(&**reason), "{text}");
}

/// A service manager with a bus daemon of its own, which are not the default of anyone: a second user manager of the
/// same user, with another `XDG_RUNTIME_DIR`.
struct Second {
    unit: String,
    directory: PathBuf,
}

impl Second {
    fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("sdrun-second-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Made and removed by the manager under which this one runs.
        let runtime = if support::is_root() { "/run".into() } else { std::env::var_os("XDG_RUNTIME_DIR").unwrap() };
        let directory = Path::new(&runtime).join(&name);
        let second = Second { unit: format!("{name}.service"), directory };
        // It says READY=1 when its units are up, its dbus.socket among them.
        let mut start = Program::new("systemd-run");
        start
            .args([support::scope(), "--quiet", "--collect", "--property=Type=notify", "--property=Delegate=yes"])
            .arg(format!("--unit={}", second.unit))
            .arg(format!("--property=RuntimeDirectory={name}"))
            // A user's manager could not remove this, which nobody may enter.
            .arg("--property=ExecStopPost=-/bin/sh -c 'chmod u+rwx \"$XDG_RUNTIME_DIR/systemd/inaccessible/dir\"'")
            .arg(format!("--setenv=XDG_RUNTIME_DIR={}", second.directory.display()))
            .arg(format!("--setenv=DBUS_SESSION_BUS_ADDRESS={}", unix(&second.directory.join("bus"))))
            .args(["--setenv=HOME=/", "/lib/systemd/systemd", "--user"]);
        let status = start.status().unwrap();
        assert!(status.success(), "{status}");
        second
    }

    async fn is_at(&self, address: &str, transport: Transport) {
        is_at(address, transport, self.directory.to_str().unwrap()).await;
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = Program::new("systemctl").args([support::scope(), "stop", &self.unit]).status();
    }
}

/// Runs commands on the manager at the address, which has this runtime directory, and awaits their exits.
async fn is_at(address: &str, transport: Transport, runtime: &str) {
    let manager = Manager::builder().address(address).transport(transport).connect();
    let manager = soon(address, manager).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(manager.is_private(), transport == Transport::Private, "{address}");
    for code in [7, 0, 255] {
        let script = format!("test \"$XDG_RUNTIME_DIR\" = '{runtime}' || exit 99; exit {code}");
        let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(&manager).await;
        let unit = unit.unwrap_or_else(|error| panic!("{address}: {error}"));
        let exit = soon(address, unit.wait()).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(exit.status, Some(Status::Exited(code)), "{address}");
    }
}

/// The address of a socket.
fn unix(path: &Path) -> String {
    let escape = |byte: u8| match byte {
        b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'/' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    let path: String = path.to_str().unwrap().bytes().map(escape).collect();
    format!("unix:path={path}")
}

/// Connects whoever comes to this socket with the other one, for as long as the test runs.
fn pass_on(listener: StdListener, to: &Path) {
    listener.set_nonblocking(true).unwrap();
    let listener = UnixListener::from_std(listener).unwrap();
    let to = to.to_owned();
    tokio::spawn(async move {
        loop {
            let (mut ours, _) = listener.accept().await.unwrap();
            let mut theirs = UnixStream::connect(&to).await.unwrap();
            // An error is the end of the connection, which its users notice.
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut ours, &mut theirs).await });
        }
    });
}
