//! Requests that a kube-apiserver 1.36.2 answered, sent to ours: every answer is like the recorded
//! one, but for those on the list `tests/oracle/differences.txt`, and that list only shrinks.

mod canonical;
mod differences;
mod play;
mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use differences::{Difference, Request};
use scenario::Scenario;

/// Scenarios that are played at once: most of their time they wait for events.
const AT_ONCE: usize = 12;
/// Set: the list is written anew, and what has no reason yet is to be given one.
const WRITE: &str = "EVERYNODE_RECORDED_WRITE";
/// Set: scenarios whose name begins so are played, and all differences are shown.
const ONLY: &str = "EVERYNODE_RECORDED_ONLY";

struct Recorded {
    number: usize,
    scenario: Scenario,
    answers: Vec<Value>,
}

/// Where the answer to a request differs, if it does.
struct Compared {
    call: String,
    differences: Vec<Difference>,
}

type Results = BTreeMap<Request, Compared>;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_are_those_of_the_original() {
    let path = play::folder().join("differences.txt");
    let list = std::fs::read_to_string(&path).unwrap();
    let mut all = recorded();
    if let Ok(only) = std::env::var(ONLY) {
        all.retain(|one| one.scenario.scenario.starts_with(&only));
        let results = play_all(all, AT_ONCE).await;
        let shown: String = results.iter().filter_map(|(request, one)| one.shown(request)).collect();
        panic!("{shown}\n{}", table(&results));
    }
    let mut results = play_all(all.clone(), AT_ONCE).await;
    if std::env::var_os(WRITE).is_some() {
        let requests = results.iter().filter(|(_, one)| !one.differences.is_empty()).map(|(request, _)| request);
        std::fs::write(&path, differences::written(&list, requests)).unwrap();
        return println!("{}", table(&results));
    }
    let listed = differences::parse(&list);
    // On a machine that is busy with other tests a controller may be late: what is not as the list
    // says is played once more, alone.
    let again: BTreeSet<String> = unexpected(&results, &listed).map(|(request, _)| request.0.clone()).collect();
    all.retain(|one| again.contains(&one.scenario.scenario));
    results.extend(play_all(all, 1).await);
    let mut wrong: Vec<String> = unexpected(&results, &listed)
        .map(|(request, one)| {
            one.shown(request).unwrap_or_else(|| format!("{request:?} is alike: take it off the list"))
        })
        .collect();
    let unknown = listed.iter().filter(|request| !results.contains_key(request));
    wrong.extend(unknown.map(|request| format!("{request:?} is on the list, and there is no such request")));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), table(&results));
}

/// What is answered alike and on the list, or differently and not on it.
fn unexpected<'a>(
    results: &'a Results,
    listed: &'a BTreeSet<Request>,
) -> impl Iterator<Item = (&'a Request, &'a Compared)> {
    results.iter().filter(|(request, one)| listed.contains(request) == one.differences.is_empty())
}

/// All scenarios with what was recorded for each step.
fn recorded() -> Vec<Arc<Recorded>> {
    let folder = play::folder();
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("scenarios")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |(number, file): (usize, &std::path::PathBuf)| {
        let scenario: Scenario = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let answers = folder.join("answers").join(file.with_extension("json").file_name().unwrap());
        let answers: Vec<Value> = serde_json::from_slice(&std::fs::read(answers).unwrap()).unwrap();
        assert_eq!(answers.len(), scenario.steps.len(), "{}", scenario.scenario);
        Arc::new(Recorded { number, scenario, answers })
    };
    files.iter().enumerate().map(read).collect()
}

async fn play_all(scenarios: Vec<Arc<Recorded>>, at_once: usize) -> Results {
    let permits = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for one in scenarios {
        let permits = permits.clone();
        playing.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let seen = play::play(&one.scenario, one.number).await;
            compare(&one, &seen)
        });
    }
    playing.join_all().await.into_iter().flatten().collect()
}

fn compare(recorded: &Recorded, seen: &[Value]) -> Results {
    let steps = recorded.scenario.steps.iter().enumerate();
    let compared = steps.filter_map(|(index, step)| {
        let call = format!("{} ({})", step.call.as_ref()?, step.note);
        let differences = differences::differences(&recorded.answers[index], &seen[index]);
        Some(((recorded.scenario.scenario.clone(), index), Compared { call, differences }))
    });
    compared.collect()
}

impl Compared {
    /// The request and both answers, where they differ.
    fn shown(&self, request: &Request) -> Option<String> {
        let (scenario, index) = request;
        let differs = !self.differences.is_empty();
        differs.then(|| format!("{scenario} #{index} {}{}\n", self.call, differences::shown(&self.differences)))
    }
}

/// How many are alike and how many differ, by kind of scenario.
fn table(results: &Results) -> String {
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    for ((scenario, _), one) in results {
        let group = scenario.split('/').next().unwrap_or_default();
        for name in [group, "~ all"] {
            counts.entry(name).or_default()[usize::from(!one.differences.is_empty())] += 1;
        }
    }
    let mut text = "group         alike  different".to_owned();
    for (group, [alike, different]) in counts {
        write!(text, "\n{group:<12} {alike:>6} {different:>10}").unwrap();
    }
    text
}
