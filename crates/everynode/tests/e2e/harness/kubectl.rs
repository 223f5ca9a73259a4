//! kubectl, unmodified: the one on PATH, and the other versions that lie beside it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A kubectl with its kubeconfig and a home directory of its own.
#[derive(Clone, Debug)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) line: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

const LIMIT: Duration = Duration::from_secs(60);

impl Kubectl {
    pub(crate) fn new(kubeconfig: &Path, namespace: &str) -> Kubectl {
        Kubectl { program: "kubectl".into(), kubeconfig: kubeconfig.to_owned(), namespace: namespace.to_owned() }
    }

    pub(crate) fn program(&self, program: &Path) -> Kubectl {
        Kubectl { program: program.to_owned(), ..self.clone() }
    }

    pub(crate) fn kubeconfig(&self, kubeconfig: &Path) -> Kubectl {
        Kubectl { kubeconfig: kubeconfig.to_owned(), ..self.clone() }
    }

    /// The command, in this kubectl's namespace if it has one, not started yet. Words are divided
    /// at blanks.
    pub(crate) fn command(&self, words: &str) -> Command {
        self.command_of(&words.split_whitespace().collect::<Vec<_>>())
    }

    fn command_of(&self, words: &[&str]) -> Command {
        let home = self.kubeconfig.with_extension("home");
        let mut command = Command::new(&self.program);
        command.env("HOME", &home).env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", home.join("cache"));
        if !self.namespace.is_empty() {
            command.args(["--namespace", &self.namespace]);
        }
        command.args(words);
        command
    }

    /// The command as a line for a shell.
    pub(crate) fn line(&self, words: &str) -> String {
        format!("{:?} {words}", self.command(""))
    }

    /// Runs `kubectl WORDS`, which must succeed, and gives its standard output.
    pub(crate) fn ok(&self, words: &str) -> String {
        self.run(words).succeeded().stdout
    }

    pub(crate) fn run(&self, words: &str) -> Outcome {
        Outcome::of(&mut self.command(words), None, LIMIT)
    }

    /// For words with blanks in them.
    pub(crate) fn words(&self, words: &[&str]) -> Outcome {
        Outcome::of(&mut self.command_of(words), None, LIMIT)
    }

    /// Runs it with this standard input.
    pub(crate) fn input(&self, words: &str, input: &str) -> Outcome {
        Outcome::of(&mut self.command(words), Some(input), LIMIT)
    }

    /// `kubectl apply -f -`, which must succeed.
    pub(crate) fn apply(&self, manifest: impl std::fmt::Display) -> String {
        self.input("apply -f -", &manifest.to_string()).succeeded().stdout
    }
}

impl Outcome {
    /// Runs a command to its end, or kills it after the limit (then the code is 137).
    pub(crate) fn of(command: &mut Command, input: Option<&str>, limit: Duration) -> Outcome {
        let line = format!("{command:?}");
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect(&line);
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            // One that ends without reading is judged by its exit code.
            let _ = stdin.write_all(text.as_bytes());
        }
        let pid = rustix::process::Pid::from_child(&child);
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            let began = Instant::now();
            if ended.recv_timeout(limit).is_err() && began.elapsed() >= limit {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect(&line);
        drop(done);
        let _ = watchdog.join();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = output.status.code().unwrap_or(137);
        Outcome { line, code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub(crate) fn succeeded(self) -> Outcome {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// It must have failed, and said this (on standard error).
    pub(crate) fn failed_with(self, words: &str) -> Outcome {
        assert_ne!(self.code, 0, "should have failed: {self}");
        assert!(self.stderr.contains(words), "should have said {words:?}: {self}");
        self
    }

    /// It must have succeeded, and printed this.
    pub(crate) fn printed(self, words: &str) -> Outcome {
        let done = self.succeeded();
        assert!(done.stdout.contains(words), "should have printed {words:?}: {done}");
        done
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nexit code {}\n--- stdout\n{}\n--- stderr\n{}", self.line, self.code, self.stdout, self.stderr)
    }
}

/// The kubectls of other versions (`kubectl.1.NN`): those beside the file that the one on PATH is a
/// link to, and those that `EVERYNODE_KUBECTLS` names (separated by colons).
pub(crate) fn newer_and_older() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("kubectl")).find(|file| file.exists());
    let real = found.and_then(|file| file.canonicalize().ok());
    let directory = real.as_deref().and_then(Path::parent);
    let entries = directory.and_then(|directory| std::fs::read_dir(directory).ok()).into_iter().flatten().flatten();
    let named = std::env::var_os("EVERYNODE_KUBECTLS").unwrap_or_default();
    let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = entries.map(|entry| entry.path()).filter(|file| name(file).starts_with("kubectl.1."));
    let mut others: Vec<PathBuf> = beside.chain(std::env::split_paths(&named).filter(|file| file.is_file())).collect();
    others.sort_by_key(name);
    others.dedup_by_key(|file| name(file));
    others
}
