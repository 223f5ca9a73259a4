//! The API server alone, on a memory store: for trying clients by hand and for the wire tests'
//! kubectl runs.
//!
//! `cargo run -p everynode-apiserver --example serve -- DATA_DIR [ADDRESS]` writes
//! `DATA_DIR/admin.kubeconfig` and prints the address.

use std::path::PathBuf;
use std::sync::Arc;

use everynode_apiserver::{ApiServer, Config, Listener, Pki, ServeOptions};
use everynode_store::memory::MemoryStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let data_dir = PathBuf::from(arguments.next().ok_or("usage: serve DATA_DIR [ADDRESS]")?);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = Listener::bind(address.parse()?)?;
    let local = listener.address();
    let config = Config { advertised: Some(local), ..Config::new(data_dir.clone()) };
    let started = std::time::Instant::now();
    let server = ApiServer::new(Arc::new(MemoryStore::new()), config).await?;
    println!("ready after {:?}: https://{local}", started.elapsed());
    let kubeconfig = server.pki().kubeconfig(&format!("https://{local}"));
    Pki::write_private(&data_dir.join("admin.kubeconfig"), &kubeconfig)?;
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    server.serve(listener, ServeOptions::default(), stop).await?;
    Ok(())
}
