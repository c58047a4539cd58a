//! Example 4 of pystemd.run's manual: multiple things. `/bin/env` in a machine, and its output here.
//!
//! `pystemd.run([b'/bin/env'], machine=b'miniarch', wait=True, nice=3, stdout=sys.stdout.fileno(),
//! env={b'SUPER_SECRET_PASSW': b'1234'})`. (Who may look at a unit sees its environment. Real secrets go in as
//! credentials: `LoadCredential=`, systemd.exec(5).)
//!
//! `pystemd_4_machine [MACHINE]`; without one, `.host`, which is this host.

use sdrun::{Command, Manager, Stdio};

#[tokio::main(flavor = "current_thread")]
async fn main() -> sdrun::Result<()> {
    let machine = std::env::args().nth(1).unwrap_or(".host".into());
    let manager = Manager::machine(machine).await?;
    let unit = Command::new("/bin/env")
        .nice(3)
        .env("SUPER_SECRET_PASSW", "1234")
        .stdout(Stdio::inherit())
        .start(&manager)
        .await?;
    // wait=True, and raise_on_fail=True with it.
    unit.await?.check()
}
