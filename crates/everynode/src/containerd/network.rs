//! What the networks of pods leave behind: rules of address translation, addresses taken, and the
//! results that the runtime's CNI library keeps.
//!
//! All of it goes with each pod, as long as the runtime asks the plugins that made it. Where a
//! network plugin put its own configuration in place of ours, it is asked about our pods and knows
//! nothing of them; so `everynode down` looks itself.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Where the runtime's CNI library keeps its results.
pub(super) const RESULTS: &str = "/var/lib/cni/results";
/// Files of an address pool: one for each address of a node's pods.
const LEASES_MAX: usize = 1 << 16;
/// A container's id is 64 hexadecimal digits; nothing shorter is looked for in others' files.
const ID_LENGTH: usize = 64;
/// Chains that all pods of a machine share.
const SHARED_CHAINS: &str = "CNI-HOSTPORT-";

/// The pods that addresses below a pool's directory are taken for.
pub(super) fn holders(pool: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(pool).into_iter().flatten().filter_map(Result::ok).take(LEASES_MAX);
    let ids = entries.filter_map(|entry| {
        // The pod's id, and its interface's name on the next line.
        let text = std::fs::read_to_string(entry.path()).ok()?;
        Some(text.lines().next()?.trim().to_owned())
    });
    ids.filter(|id| is_id(id)).collect()
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes the results that are kept for these pods.
pub(super) fn remove_results(results: &Path, ids: &BTreeSet<String>) {
    let entries = std::fs::read_dir(results).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        // NETWORK-ID-INTERFACE
        let name = entry.file_name();
        let parts: Vec<&str> = name.to_str().unwrap_or_default().split('-').collect();
        if parts.iter().any(|part| ids.contains(*part)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Removes the rules that were made for these pods, for IPv4 and IPv6.
///
/// # Errors Rules that are there cannot be removed. That a machine has no such program, or no
/// table, is none.
pub(super) fn remove_rules(ids: &BTreeSet<String>) -> anyhow::Result<()> {
    for (save, restore) in [("iptables-save", "iptables-restore"), ("ip6tables-save", "ip6tables-restore")] {
        let Ok(saved) = Command::new(save).args(["-t", "nat"]).stderr(Stdio::null()).output() else { continue };
        if let Some(input) = removal(&String::from_utf8_lossy(&saved.stdout), ids) {
            let fail = || format!("cannot remove the rules of pods' networks ({restore})");
            run(restore, &input).with_context(fail)?;
        }
    }
    Ok(())
}

fn run(restore: &str, input: &str) -> anyhow::Result<()> {
    let mut child = Command::new(restore)
        .arg("--noflush")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// What `iptables-restore` needs to be told, from what `iptables-save` printed: the rules whose
/// comment names one of the pods go, and with them the chains that only they lead to. `None`: there
/// are no such rules.
fn removal(saved: &str, ids: &BTreeSet<String>) -> Option<String> {
    let rules: Vec<&str> = saved.lines().filter_map(|line| line.strip_prefix("-A ")).collect();
    let names_pod = |rule: &&&str| ids.iter().any(|id| rule.contains(&format!("id: \\\"{id}\\\"")));
    let (mut ours, mut chains) = (Vec::new(), BTreeSet::new());
    for rule in rules.iter().filter(names_pod) {
        ours.push(*rule);
        chains.extend(target(rule).filter(|chain| chain.starts_with("CNI-") && !chain.starts_with(SHARED_CHAINS)));
    }
    if ours.is_empty() {
        return None;
    }
    let of_others =
        |rule: &&&str| !ours.contains(*rule) && !chains.contains(rule.split(' ').next().unwrap_or_default());
    let kept: BTreeSet<&str> = rules.iter().filter(of_others).filter_map(|rule| target(rule)).collect();
    // A rule within a chain that goes, goes with it.
    let deleted = ours.iter().filter(|rule| !chains.contains(rule.split(' ').next().unwrap_or_default()));
    let mut out = String::from("*nat\n");
    deleted.for_each(|rule| out += &format!("-D {rule}\n"));
    let free: Vec<&&str> = chains.iter().filter(|chain| !kept.contains(**chain)).collect();
    free.iter().for_each(|chain| out += &format!("-F {chain}\n"));
    free.iter().for_each(|chain| out += &format!("-X {chain}\n"));
    Some(out + "COMMIT\n")
}

/// The chain that a rule leads to.
fn target(rule: &str) -> Option<&str> {
    let words: Vec<&str> = rule.split(' ').collect();
    let at = words.iter().rposition(|word| *word == "-j")?;
    words.get(at + 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(ID_LENGTH)
    }

    fn saved() -> String {
        let (ours, others) = (id('a'), id('b'));
        format!(
            "*nat\n:POSTROUTING ACCEPT [0:0]\n:CNI-1 - [0:0]\n:CNI-2 - [0:0]\n:CNI-DN-1 - [0:0]\n\
             :CNI-HOSTPORT-DNAT - [0:0]\n\
             -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
             -A POSTROUTING -s 10.1.0.2/32 -m comment --comment \"name: \\\"everynode\\\" id: \\\"{ours}\\\"\" -j CNI-1\n\
             -A POSTROUTING -s 10.1.0.3/32 -m comment --comment \"name: \\\"everynode\\\" id: \\\"{others}\\\"\" -j CNI-2\n\
             -A CNI-1 -d 10.1.0.0/24 -m comment --comment \"name: \\\"everynode\\\" id: \\\"{ours}\\\"\" -j ACCEPT\n\
             -A CNI-2 -d 10.1.0.0/24 -m comment --comment \"name: \\\"everynode\\\" id: \\\"{others}\\\"\" -j ACCEPT\n\
             -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: \\\"everynode\\\" id: \\\"{ours}\\\"\" \
             -m multiport --dports 8080 -j CNI-DN-1\n\
             -A CNI-DN-1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80\nCOMMIT\n"
        )
    }

    #[test]
    fn the_rules_of_a_pod_go_with_their_chains_and_no_others() {
        let input = removal(&saved(), &BTreeSet::from([id('a')])).unwrap();
        let lines: Vec<&str> = input.lines().collect();
        assert_eq!((lines[0], *lines.last().unwrap()), ("*nat", "COMMIT"));
        assert!(lines[1].starts_with("-D POSTROUTING -s 10.1.0.2/32") && lines[1].ends_with("-j CNI-1"), "{input}");
        assert!(lines[2].starts_with("-D CNI-HOSTPORT-DNAT") && lines[2].ends_with("-j CNI-DN-1"), "{input}");
        assert_eq!(lines[3..7], ["-F CNI-1", "-F CNI-DN-1", "-X CNI-1", "-X CNI-DN-1"]);
        assert_eq!(lines.len(), 8);
        assert_eq!(removal(&saved(), &BTreeSet::from([id('c')])), None);
        assert_eq!(removal("", &BTreeSet::from([id('a')])), None);
    }

    #[test]
    fn addresses_tell_whose_they_are_and_results_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (pool, results) = (folder.path().join("pool"), folder.path().join("results"));
        std::fs::create_dir(&pool).unwrap();
        std::fs::create_dir(&results).unwrap();
        std::fs::write(pool.join("10.1.0.2"), format!("{}\r\neth0", id('a'))).unwrap();
        std::fs::write(pool.join("last_reserved_ip.0"), "10.1.0.2").unwrap();
        std::fs::write(pool.join("lock"), "").unwrap();
        let ids = holders(&pool);
        assert_eq!(ids, BTreeSet::from([id('a')]));
        let file = |network: &str, id: &str, interface: &str| results.join(format!("{network}-{id}-{interface}"));
        let (gone, loopback) = (file("everynode", &id('a'), "eth0"), file("cni-loopback", &id('a'), "lo"));
        let kept = file("everynode", &id('b'), "eth0");
        [&gone, &loopback, &kept].iter().for_each(|path| std::fs::write(path, "{}").unwrap());
        remove_results(&results, &ids);
        assert!(!gone.exists() && !loopback.exists() && kept.exists());
        assert!(holders(&folder.path().join("none")).is_empty());
    }
}
