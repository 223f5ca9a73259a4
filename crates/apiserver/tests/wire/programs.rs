//! Clients of others, kubectl and helm, as the administrator of a server.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::Server;

/// The files that `EVERYNODE_KUBECTLS` names (`scripts/kubectls.sh`); there may be none.
pub(crate) fn named_kubectls() -> Vec<PathBuf> {
    let named = std::env::var_os("EVERYNODE_KUBECTLS").unwrap_or_default();
    std::env::split_paths(&named).filter(|file| file.is_file()).collect()
}

/// The program of this name on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// A program that speaks to a server, by a kubeconfig in the server's directory.
pub(crate) struct Program<'s> {
    pub(crate) file: &'s Path,
    server: &'s Server,
}

impl<'s> Program<'s> {
    pub(crate) fn new(file: &'s Path, server: &'s Server) -> Program<'s> {
        let config = server.api.pki().kubeconfig(&format!("https://{}", server.address));
        everynode_apiserver::Pki::write_private(&server.directory.path().join("config"), &config).unwrap();
        Program { file, server }
    }

    /// Runs it in the server's directory. The arguments are divided by blanks.
    pub(crate) async fn output(&self, arguments: &str, input: &str) -> Output {
        let directory = self.server.directory.path();
        let mut child = Command::new(self.file)
            .args(arguments.split_whitespace())
            .current_dir(directory)
            .env("KUBECONFIG", directory.join("config"))
            .env("HOME", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    }

    /// Whether it succeeded, and what it printed on both streams.
    pub(crate) async fn run(&self, arguments: &str, input: &str) -> (bool, String) {
        let output = self.output(arguments, input).await;
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}
