//! A follower against a server that does what a script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use everynode_api::kinds;
use everynode_api::ports::BoxFuture;
use everynode_api::status::Status;

use super::*;

const BATCH_MAX: usize = 256;

/// What the server answers, in this order.
enum Answer {
    /// A list at this revision of objects with these names.
    List(u64, &'static [&'static str]),
    /// A watch that says this, and then ends.
    Watch(Vec<Result<WatchEvent, ApiError>>),
    /// A watch that says this, and then nothing.
    OpenWatch(Vec<Result<WatchEvent, ApiError>>),
    NoList(ApiError),
    NoWatch(ApiError),
}

fn is_list(answer: &Answer) -> bool {
    matches!(answer, Answer::List(..) | Answer::NoList(_))
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    /// The next answer of those that fit.
    fn next(&self, asked: String, fits: impl Fn(&Answer) -> bool) -> Option<Answer> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let at = answers.iter().position(fits)?;
        answers.remove(at)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Api for Script {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        let Request::List { continue_token, limit, .. } = request else { panic!("{request:?}") };
        let answer = self.next(format!("list {limit} {}", continue_token.unwrap_or_default()), is_list);
        Box::pin(async move {
            match answer {
                Some(Answer::List(revision, names)) => {
                    let items: Vec<_> = names.iter().map(|name| object(name, revision)).collect();
                    let items = items.join(",");
                    Ok(format!(r#"{{"metadata":{{"resourceVersion":"{revision}"}},"items":[{items}]}}"#).into())
                }
                Some(Answer::NoList(error)) => Err(error),
                _ => std::future::pending().await,
            }
        })
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        let answer =
            self.next(format!("watch {}", request.resource_version.unwrap_or_default()), |answer| !is_list(answer));
        Box::pin(async move {
            match answer {
                Some(Answer::Watch(events)) => Ok(Box::new(Events(events.into(), true)) as Box<dyn EventStream>),
                Some(Answer::OpenWatch(events)) => Ok(Box::new(Events(events.into(), false)) as Box<dyn EventStream>),
                Some(Answer::NoWatch(error)) => Err(error),
                _ => std::future::pending().await,
            }
        })
    }
}

/// Events, and whether the watch ends after them.
struct Events(VecDeque<Result<WatchEvent, ApiError>>, bool);

impl EventStream for Events {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<WatchEvent, ApiError>>> {
        Box::pin(async {
            match self.0.pop_front() {
                None if !self.1 => std::future::pending().await,
                next => next,
            }
        })
    }
}

/// Reads names and revisions.
struct Names;

impl Decode for Names {
    type Object = String;
    type Change = String;

    fn object(&self, json: Bytes) -> Option<String> {
        let value: serde_json::Value = serde_json::from_slice(&json).ok()?;
        value["metadata"]["name"].as_str().map(str::to_owned)
    }

    fn change(&self, json: Bytes, _: bool) -> Observed<String> {
        Observed { revision: revision_of(&json).unwrap(), change: self.object(json) }
    }
}

fn object(name: &str, revision: u64) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"{revision}"}}}}"#)
}

fn event(name: &str, revision: u64) -> Result<WatchEvent, ApiError> {
    Ok(WatchEvent::Modified(object(name, revision).into()))
}

fn follower(answers: Vec<Answer>) -> (Arc<Script>, Follower<Names>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), asked: Mutex::default() });
    let source = Source {
        api: script.clone(),
        env: Env::real(),
        kind: kinds::POD,
        selection: Selection::default(),
        list_every: Some(LIST_EVERY),
        batch_max: BATCH_MAX,
    };
    (script, Follower::new(source, Names))
}

/// What is heard next, in short.
async fn hear(follower: &mut Follower<Names>) -> String {
    match follower.next().await {
        Heard::Begins => "begins".into(),
        Heard::Listed(Listed { objects, revision }) => format!("listed {} at {revision}", objects.join(" ")),
        Heard::Opened => "opened".into(),
        Heard::Changed(names) => format!("changed {}", names.join(" ")),
        Heard::Ended => "ended".into(),
        Heard::Failed(failure) => failure.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_put_back_is_followed_from_where_it_is() {
    let message = "Too large resource version: 301, current: 140";
    let too_large = Status::failure(504, "Timeout", message).with_cause("ResourceVersionTooLarge", "", "");
    let (script, mut follower) = follower(vec![
        Answer::List(300, &["a", "b"]),
        Answer::Watch(vec![event("c", 301), Err(ApiError::UnknownOutcome("reset".into()))]),
        Answer::NoWatch(too_large.into()),
        Answer::List(140, &["a"]),
        Answer::OpenWatch(vec![event("d", 141)]),
    ]);
    let began = Instant::now();
    for expected in [
        "begins",
        "listed a b at 300",
        "opened",
        "changed c",
        "the watch broke off: no answer from the API server: reset",
        "cannot watch; trying again: Too large resource version: 301, current: 140",
        "begins",
        "listed a at 140",
        "opened",
        "changed d",
    ] {
        assert_eq!(hear(&mut follower).await, expected);
    }
    assert_eq!(script.asked(), ["list 500 ", "watch 300", "watch 301", "list 500 ", "watch 140"]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_again_although_the_watch_continues() {
    let silent = (0..9).map(|_| Answer::OpenWatch(vec![]));
    let (script, mut follower) =
        follower([Answer::List(5, &["a"]), Answer::List(9, &["a", "b"])].into_iter().chain(silent).collect());
    let began = Instant::now();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "listed a b at 9") {
        // Being asked often changes nothing.
        if let Ok(next) = tokio::time::timeout(Duration::from_secs(7), hear(&mut follower)).await {
            heard.push(next);
        }
        assert!(began.elapsed() < LIST_EVERY * 3 / 2 + Duration::from_secs(7), "nothing was listed again: {heard:?}");
    }
    assert!(began.elapsed() >= LIST_EVERY / 2, "{:?}", began.elapsed());
    assert_eq!(heard[..5], ["begins", "listed a at 5", "opened", "ended", "opened"], "silence is no failure");
    assert_eq!(script.asked()[..3], ["list 500 ", "watch 5", "watch 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_comes_in_batches_and_none_of_it_is_lost() {
    let events: Vec<_> = (0..600).map(|number| event(&number.to_string(), 10 + number)).collect();
    let (script, mut follower) = follower(vec![Answer::List(5, &[]), Answer::Watch(events), Answer::OpenWatch(vec![])]);
    let mut names = Vec::new();
    loop {
        match follower.next().await {
            Heard::Changed(changes) => {
                assert!(changes.len() <= BATCH_MAX, "{}", changes.len());
                names.extend(changes);
            }
            Heard::Ended => break,
            other => assert!(matches!(other, Heard::Begins | Heard::Listed(_) | Heard::Opened), "{other:?}"),
        }
    }
    assert_eq!(names, (0..600).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(hear(&mut follower).await, "opened");
    assert_eq!(script.asked(), ["list 500 ", "watch 5", "watch 609"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_no_shorter_for_being_asked_often() {
    let refused = || Answer::NoList(ApiError::Unreachable("refused".into()));
    let (script, mut follower) = follower(vec![refused(), refused(), refused(), refused(), refused(), refused()]);
    let began = Instant::now();
    while script.asked.lock().unwrap().len() < 6 {
        let _ = tokio::time::timeout(Duration::from_millis(5), follower.next()).await;
    }
    // 0.2 + 0.4 + 0.8 + 1.6 + 3.2 seconds, give or take a half.
    assert!(began.elapsed() > Duration::from_millis(3_100), "{:?}", began.elapsed());
}
