//! smoke
use sdrun::*;
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    for t in [Transport::Private, Transport::Bus] {
        let m = Manager::builder().transport(t).connect().await?;
        for words in [
            vec!["/bin/true"],
            vec!["/bin/false"],
            vec!["/nonexistent"],
            vec!["/bin/sh", "-c", "exit 7"],
            vec!["/bin/sh", "-c", "kill -9 $$"],
            vec!["/bin/sh", "-c", "sleep 0.1; echo hi"],
        ] {
            let mut c = Command::from(words);
            let t0 = std::time::Instant::now();
            let u = c.collect(true).start(&m).await?;
            let id = u.invocation_id();
            let e = u.wait().await?;
            println!("{:?} {:?} {e} id-at-start {id:?} {e:?}", t0.elapsed(), u.name());
        }
        let t0 = std::time::Instant::now();
        for _ in 0..200 {
            let e = Command::new("/bin/true").collect(true).start(&m).await?.await?;
            assert!(e.success());
        }
        println!("{:?} each", t0.elapsed() / 200);
        let t0 = std::time::Instant::now();
        let mut us = vec![];
        let units = futures::future::join_all(
            (0..500).map(|_| async { Command::new("/bin/true").collect(true).start(&m).await.unwrap().await.unwrap() }),
        )
        .await;
        us.extend(units);
        println!("{:?} for {}", t0.elapsed(), us.len());
    }
    Ok(())
}
