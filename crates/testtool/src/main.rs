//! One small static program for container images: what the real node services do, in miniature, and
//! what tests need inside a pod. It stands alone in an image without libc, shell or resolver.
//!
//! Reading order: `main` (the table of commands), then `args`, `sys`, and one module per kind of
//! service: `web`, `logs`, `storage`, `api`, `grpc`, `registry`, `misc`.

mod api;
mod args;
mod grpc;
mod logs;
mod misc;
mod registry;
mod storage;
mod sys;
mod web;

use args::Args;

/// What a command gives back: the exit code of the process, or a message for standard error and
/// exit code 1.
type Outcome = Result<i32, String>;

struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(&Args) -> Outcome,
}

const fn command(name: &'static str, help: &'static str, run: fn(&Args) -> Outcome) -> Command {
    Command { name, help, run }
}

const COMMANDS: &[Command] = &[
    command("pause", "", misc::pause),
    command("sleep", "[SECONDS]  for ever by default", misc::sleep),
    command("exit", "CODE [--after-ms N] [--message TEXT --message-file PATH]", misc::exit),
    command("trap-term", "SECONDS  takes that long to stop after SIGTERM", misc::trap_term),
    command("ignore-term", "  lives until SIGKILL", misc::ignore_term),
    command("mem", "MB  touches that much memory, then sleeps", misc::mem),
    command("spin", "[THREADS]  keeps processors busy", misc::spin),
    command("env", "[NAME...]", misc::env),
    command("id", "  uid, gid, groups and capabilities of this process", misc::id),
    command("cat", "FILE...", misc::cat),
    command("ls", "DIR...", misc::ls),
    command("write", "FILE TEXT...", misc::write),
    command("install", "SOURCE... DIR  copies files, whole or not at all", misc::install),
    command("wait-file", "PATH [--timeout-seconds N]", misc::wait_file),
    command("proc-count", "DIR [--name COMM]  processes seen under a /proc", misc::proc_count),
    command("http", "[--port N] [--addr A] [--body TEXT] [--health-file PATH]", web::http),
    command("http-get", "URL  plain HTTP; exit code 22 unless 2xx", web::http_get),
    command("tcp", "[--port N] [--addr A] [--banner TEXT]", web::tcp),
    command("tcp-get", "HOST:PORT  prints what the server sends", web::tcp_get),
    command("unix-listen", "PATH [--reply TEXT]", web::unix_listen),
    command("unix-get", "PATH", web::unix_get),
    command("grpc-health", "[--port N] [--service NAME] [--health-file PATH]", grpc::serve),
    command("log-writer", "[--prefix TEXT] [--every-ms N] [--count N] [--stderr]", logs::writer),
    command("log-collector", "DIR [--port N] [--api URL]  follows every *.log in DIR", logs::collector),
    command("mounter", "DIR [--file NAME --content TEXT]  tmpfs on DIR until SIGTERM", storage::mounter),
    command("csi-driver", "--endpoint=unix://PATH --node-id=NAME [--pods-dir DIR]", storage::driver),
    command("csi-registrar", "--csi-address=PATH --kubelet-registration-path=PATH", storage::registrar),
    command("csi-liveness", "--csi-address=PATH [--health-port N]", storage::liveness),
    command("cni-agent", "--node-name=NAME [--conf PATH] [--remove PATH]", misc::cni_agent),
    command("api-get", "PATH [--server URL] [--ca FILE] [--token-file FILE]", api::get),
    command("registry", "DIR [--port N] [--addr A] [--user NAME:PASSWORD]", registry::serve),
    command("sensor", "[--proc DIR] [-k URL] [-K TOKENFILE] [--every-seconds N]", api::sensor),
];

fn main() {
    let mut words: Vec<String> = std::env::args().collect();
    if words.len() < 2 {
        usage();
        std::process::exit(2);
    }
    words.remove(0);
    let name = words.remove(0);
    let Some(found) = COMMANDS.iter().find(|c| c.name == name) else {
        eprintln!("testtool: no command {name:?}");
        usage();
        std::process::exit(2);
    };
    match (found.run)(&Args::parse(words)) {
        Ok(code) => std::process::exit(code),
        Err(message) => {
            eprintln!("testtool {name}: {message}");
            std::process::exit(1);
        }
    }
}

fn usage() {
    eprintln!("usage: testtool COMMAND ...");
    for c in COMMANDS {
        eprintln!("  {} {}", c.name, c.help);
    }
}

#[cfg(test)]
mod tests {
    use super::COMMANDS;

    #[test]
    fn every_command_has_its_own_name() {
        let mut names: Vec<&str> = COMMANDS.iter().map(|c| c.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
