//! `everynode store verify`, `repair` and `restored`.

use std::io::IsTerminal;
use std::path::Path;

use everynode_store::{Problem, Report, StoreError, begin_anew, repair, verify};
use serde_json::{Value, json};

use crate::args::{Output, RepairArgs, RestoredArgs, StoreVerb, VerifyArgs};
use crate::data::DataDir;
use crate::exit::{Exit, coded};
use crate::output;

pub(crate) fn run(verb: StoreVerb) -> anyhow::Result<()> {
    match verb {
        StoreVerb::Verify(args) => run_verify(&args),
        StoreVerb::Repair(args) => run_repair(&args),
        StoreVerb::Restored(args) => run_restored(&args),
    }
}

fn run_verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let directory = DataDir::new(&args.data.data_dir).store();
    let report = verify(&directory, &mut progress()).map_err(refused)?;
    match args.output {
        Output::Text => output::print(text(&directory, &report))?,
        Output::Json => output::line(as_json(&report))?,
    }
    sound_or(&report, "the store is damaged; restore a backup, or go on with what is left by `everynode store repair`")
}

fn run_repair(args: &RepairArgs) -> anyhow::Result<()> {
    let directory = DataDir::new(&args.data.data_dir).store();
    if !args.accept_loss {
        let report = verify(&directory, &mut progress()).map_err(refused)?;
        output::print(text(&directory, &report))?;
        return sound_or(&report, "what is damaged or missing would be lost: repeat with --accept-loss");
    }
    let (report, repaired) = repair(&directory, &mut progress()).map_err(refused)?;
    output::print(text(&directory, &report))?;
    if let Some(repaired) = repaired {
        output::line(format_args!(
            "repaired: {} keys are left, revisions go on after {}; the damaged files are kept in {}",
            report.keys,
            repaired.goes_on_after.0,
            repaired.kept.display()
        ))?;
    }
    Ok(())
}

fn run_restored(args: &RestoredArgs) -> anyhow::Result<()> {
    let beyond = begin_anew(&DataDir::new(&args.data.data_dir).store()).map_err(refused)?;
    output::line(format_args!("revisions go on after {}; every client lists again", beyond.0))
}

fn sound_or(report: &Report, message: &str) -> anyhow::Result<()> {
    match report.problems.is_empty() {
        true => Ok(()),
        false => Err(coded(Exit::Damaged, message)),
    }
}

fn refused(error: StoreError) -> anyhow::Error {
    coded(Exit::Data, error.to_string())
}

/// Says to whoever waits at a terminal how far it is.
fn progress() -> impl FnMut(u64) {
    let waits = std::io::stderr().is_terminal();
    move |read| {
        if waits {
            eprintln!("{read} rows and records read");
        }
    }
}

fn text(directory: &Path, report: &Report) -> String {
    let state = if report.problems.is_empty() { "sound" } else { "damaged" };
    let mut out = format!(
        "{}: {state}\n  revision {}, {} keys, {} records in the log; acknowledged: {}\n",
        directory.display(),
        report.revision.0,
        report.keys,
        report.records,
        report.acknowledged.map_or("unknown".to_owned(), |revision| format!("revision {}", revision.0)),
    );
    for problem in &report.problems {
        let at = problem.at.map(|at| format!(" at byte {at}")).unwrap_or_default();
        out += &format!("  {}{at}: {}\n", problem.file.display(), problem.what);
    }
    if report.more_problems > 0 {
        out += &format!("  and {} more\n", report.more_problems);
    }
    out
}

fn as_json(report: &Report) -> Value {
    let problem = |one: &Problem| json!({ "file": one.file, "byte": one.at, "message": one.what });
    json!({
        "sound": report.problems.is_empty(),
        "revision": report.revision.0,
        "acknowledgedRevision": report.acknowledged.map(|revision| revision.0),
        "keys": report.keys,
        "records": report.records,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "moreProblems": report.more_problems,
    })
}

#[cfg(test)]
mod tests {
    use everynode_store::{EmbeddedOptions, EmbeddedStore, Store, Transaction, Write};

    use super::*;
    use crate::args::DataArgs;
    use crate::exit::code;

    /// A store of some objects, ended cleanly.
    async fn filled(data: &Path) {
        let store = EmbeddedStore::open(&data.join("store"), EmbeddedOptions::default()).unwrap();
        for n in 0..20 {
            let value = format!("precious {n}").into();
            let writes = vec![Write::Put { key: format!("/k/{n}").into(), value, expires_in: None }];
            store.commit(Transaction { writes, ..Transaction::default() }).await.unwrap();
        }
        store.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_store_is_verified_repaired_and_sound_again() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataArgs { data_dir: directory.path().to_owned() };
        let verify = |output| run_verify(&VerifyArgs { data: data.clone(), output });
        let repair = |accept_loss| run_repair(&RepairArgs { data: data.clone(), accept_loss });
        let code_of = |done: anyhow::Result<()>| done.err().map(|error| code(&error));
        assert_eq!(code_of(verify(Output::Text)), Some(Exit::Data), "there is none");
        filled(directory.path()).await;
        assert_eq!(code_of(verify(Output::Json)), None);
        assert_eq!(code_of(repair(false)), None);

        let path = directory.path().join("store/store.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(11).position(|bytes| bytes == b"precious 13").unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(code_of(verify(Output::Text)), Some(Exit::Damaged));
        assert_eq!(code_of(repair(false)), Some(Exit::Damaged), "not without being told to");
        assert_eq!(code_of(repair(true)), None);
        assert_eq!(code_of(verify(Output::Text)), None);
        assert_eq!(code_of(run_restored(&RestoredArgs { data: data.clone() })), None);
        assert_eq!(code_of(verify(Output::Text)), None);
        let running = EmbeddedStore::open(&directory.path().join("store"), EmbeddedOptions::default()).unwrap();
        assert_eq!(code_of(verify(Output::Text)), Some(Exit::Data), "it runs");
        drop(running);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let (file, what) = ("/d/store/store.db-wal".into(), "the checksum is wrong".to_owned());
        let problems = vec![Problem { file, at: Some(4_152), what }];
        let (revision, acknowledged) = (everynode_store::Revision(7), Some(everynode_store::Revision(9)));
        let report = Report { revision, acknowledged, keys: 3, records: 2, problems, more_problems: 1 };
        let said = text(Path::new("/d/store"), &report);
        let wanted = "/d/store: damaged\n  revision 7, 3 keys, 2 records in the log; acknowledged: revision 9\n  \
                      /d/store/store.db-wal at byte 4152: the checksum is wrong\n  and 1 more\n";
        assert_eq!(said, wanted);
        assert_eq!(as_json(&report)["problems"][0]["byte"], 4_152);
    }
}
