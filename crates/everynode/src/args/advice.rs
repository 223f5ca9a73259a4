//! What to do instead, for command lines that other tools would understand.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words of kubectl and others that everynode has no command for, and what does it.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &[
            "get",
            "describe",
            "logs",
            "log",
            "exec",
            "attach",
            "port-forward",
            "top",
            "edit",
            "label",
            "annotate",
            "explain",
        ],
        "everynode speaks the Kubernetes API: `kubectl` does it (KUBECONFIG=$(everynode kubeconfig --path))",
    ),
    (
        &["cordon", "uncordon", "drain", "taint"],
        "everynode speaks the Kubernetes API: `kubectl` does it (KUBECONFIG=$(everynode kubeconfig --path))",
    ),
    (&["create", "replace", "patch"], "`everynode apply -f FILE` creates and updates"),
    (&["ps", "ls", "list", "pods", "ds", "nodes"], "`everynode status` shows what runs where"),
    (&["start", "run", "init"], "`everynode up` starts a one-node cluster"),
    (&["stop"], "Ctrl-C ends everynode and leaves the pods; `everynode down` stops them"),
    (&["join"], "`everynode agent --server URL --token TOKEN` joins a machine"),
    (&["history", "undo", "restart"], "it is `everynode rollout history`, `undo` or `restart`"),
    (
        &["diff"],
        "`everynode plan` says what the controller would do, `everynode apply --dry-run` what a manifest would",
    ),
    (&["version"], "`everynode --version`"),
];

/// Flags of `apply` and `delete` that kubectl has and everynode has not.
const KUSTOMIZE: &str = "everynode builds no kustomizations: `kubectl kustomize DIR | everynode apply -f -`";

/// Prints what is wrong with the command line (or the help that it asks for), with a tip where
/// there is one.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    // A reader that has gone is no reason to complain.
    let _ = error.print();
    if let Some(tip) = tip(error) {
        eprintln!("\n  tip: {tip}");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn tip(error: &clap::Error) -> Option<String> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => instead(word(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => {
            let flag = word(ContextKind::InvalidArg)?;
            matches!(flag, "-k" | "--kustomize").then(|| KUSTOMIZE.to_owned())
        }
        _ => None,
    }
}

fn instead(word: &str) -> Option<String> {
    if let Some((_, tip)) = ELSEWHERE.iter().find(|(words, _)| words.contains(&word)) {
        return Some((*tip).to_owned());
    }
    let known = <super::Cli as clap::CommandFactory>::command();
    let near = known.get_subcommands().map(clap::Command::get_name).find(|name| one_slip_apart(word, name))?;
    Some(format!("a similar command exists: `everynode {near}`"))
}

/// Whether one character too many, too few, another or swapped with its neighbour makes the one
/// word from the other.
fn one_slip_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same_from_start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same_from_start..], &b[same_from_start..]);
    match (a, b) {
        ([_, rest @ ..], _) if rest == b => true,
        (_, [_, rest @ ..]) if rest == a => true,
        ([_, a @ ..], [_, b @ ..]) if a == b => true,
        ([a1, a2, a @ ..], [b1, b2, b @ ..]) => a1 == b2 && a2 == b1 && a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn tip_for(line: &str) -> Option<String> {
        tip(&super::super::Cli::try_parse_from(line.split(' ')).unwrap_err())
    }

    #[test]
    fn words_of_other_tools_get_a_tip() {
        assert!(tip_for("everynode get pods").unwrap().contains("kubectl"));
        assert!(tip_for("everynode logs web").unwrap().contains("kubectl"));
        assert!(tip_for("everynode apply -k dir").unwrap().contains("kubectl kustomize"));
        assert_eq!(tip_for("everynode wy web").unwrap(), "a similar command exists: `everynode why`");
        assert_eq!(tip_for("everynode satus").unwrap(), "a similar command exists: `everynode status`");
        assert_eq!(tip_for("everynode nonsense"), None);
        assert_eq!(tip_for("everynode why"), None);
    }

    #[test]
    fn slips() {
        let near = [("wy", "why"), ("whyy", "why"), ("wyh", "why"), ("whx", "why"), ("xwhy", "why"), ("hwy", "why")];
        assert!(near.iter().all(|(a, b)| one_slip_apart(a, b)));
        let far = [("", "why"), ("w", "why"), ("up", "why"), ("why", "plan"), ("wxyz", "why")];
        assert!(far.iter().all(|(a, b)| !one_slip_apart(a, b)));
    }
}
