//! What a request asks for, from its path and query. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::logs::LogOptions;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Health,
    Pods,
    Log(LogRoute),
    Stream(StreamRoute),
    Unknown,
    /// Understood, but not to be done: the message for the 400.
    Bad(String),
}

/// The pod that is meant. A pod of the same name made later is another one: the server says the uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodName {
    pub namespace: String,
    pub name: String,
    /// Older servers say none.
    pub uid: Option<String>,
}

/// `/containerLogs/NAMESPACE/POD/CONTAINER`, the uid as a parameter
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRoute {
    pub pod: PodName,
    pub container: String,
    pub previous: bool,
    /// Back from now; the caller turns it into a time.
    pub since_seconds: Option<i64>,
    pub options: LogOptions,
}

/// `/exec/…`, `/attach/…`, `/portForward/…`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamRoute {
    pub pod: PodName,
    pub kind: StreamKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Exec { container: String, command: Vec<String>, streams: Streams },
    Attach { container: String, streams: Streams },
    PortForward { ports: Vec<i32> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// Reads path and query. A uid may stand between pod and container. A segment that holds a separator once it is decoded
/// is no name: nobody asks for such a path in good faith.
pub(crate) fn route(path: &str, query: &str) -> Route {
    let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
    if parts.iter().any(|part| part.contains('/') || part == "." || part == "..") {
        return Route::Unknown;
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let query = Query::parse(query);
    match parts.as_slice() {
        ["healthz"] => Route::Health,
        ["pods"] | ["pods", ""] => Route::Pods,
        ["containerLogs", namespace, pod, container] => log(named(namespace, pod, query.one("uid")), container, &query),
        ["exec", namespace, pod, container] => exec(named(namespace, pod, None), container, &query),
        ["exec", namespace, pod, uid, container] => exec(named(namespace, pod, Some(uid)), container, &query),
        ["attach", namespace, pod, container] => attach(named(namespace, pod, None), container, &query),
        ["attach", namespace, pod, uid, container] => attach(named(namespace, pod, Some(uid)), container, &query),
        ["portForward", namespace, pod] => port_forward(named(namespace, pod, None), &query),
        ["portForward", namespace, pod, uid] => port_forward(named(namespace, pod, Some(uid)), &query),
        _ => Route::Unknown,
    }
}

fn named(namespace: &str, name: &str, uid: Option<&str>) -> PodName {
    PodName { namespace: namespace.into(), name: name.into(), uid: uid.map(str::to_owned) }
}

fn exec(pod: PodName, container: &str, query: &Query) -> Route {
    let command = query.all("command");
    if command.is_empty() {
        return Route::Bad("you must specify at least 1 command".into());
    }
    let container = container.to_owned();
    stream(pod, |streams| StreamKind::Exec { container, command, streams }, query)
}

fn attach(pod: PodName, container: &str, query: &Query) -> Route {
    let container = container.to_owned();
    stream(pod, |streams| StreamKind::Attach { container, streams }, query)
}

fn port_forward(pod: PodName, query: &Query) -> Route {
    let ports = query.all("port").iter().chain(&query.all("ports")).flat_map(|list| numbers(list)).collect();
    Route::Stream(StreamRoute { pod, kind: StreamKind::PortForward { ports } })
}

fn numbers(list: &str) -> Vec<i32> {
    list.split(',').filter_map(|number| number.parse().ok()).collect()
}

/// The names of Kubernetes' agent (`input`) and of its API (`stdin`) are both understood.
fn stream(pod: PodName, kind: impl FnOnce(Streams) -> StreamKind, query: &Query) -> Route {
    let streams = Streams {
        stdin: query.flag("input") || query.flag("stdin"),
        stdout: query.flag("output") || query.flag("stdout"),
        stderr: query.flag("error") || query.flag("stderr"),
        tty: query.flag("tty"),
    };
    if !streams.stdin && !streams.stdout && !streams.stderr {
        return Route::Bad("you must specify at least 1 of stdin, stdout, stderr".into());
    }
    // With a terminal, stdout and stderr are one.
    let streams = Streams { stderr: streams.stderr && !streams.tty, ..streams };
    Route::Stream(StreamRoute { pod, kind: kind(streams) })
}

fn log(pod: PodName, container: &str, query: &Query) -> Route {
    match log_route(pod, container, query) {
        Ok(route) => Route::Log(route),
        Err(message) => Route::Bad(message),
    }
}

fn log_route(pod: PodName, container: &str, query: &Query) -> Result<LogRoute, String> {
    let since = query.one("sinceTime").map(|text| text.parse::<Timestamp>().map_err(|_| invalid("sinceTime", text)));
    let stream = match query.one("stream") {
        None | Some("All" | "") => None,
        Some("Stdout") => Some("stdout".to_owned()),
        Some("Stderr") => Some("stderr".to_owned()),
        Some(other) => return Err(invalid("stream", other)),
    };
    // A negative number of lines means all of them.
    let tail_lines = query.number("tailLines")?.and_then(|lines| u64::try_from(lines).ok());
    let limit_bytes = query.number("limitBytes")?.map(|bytes| u64::try_from(bytes).ok().filter(|bytes| *bytes > 0));
    Ok(LogRoute {
        pod,
        container: container.into(),
        previous: query.flag("previous"),
        since_seconds: query.number("sinceSeconds")?,
        options: LogOptions {
            follow: query.flag("follow"),
            tail_lines,
            since: since.transpose()?,
            limit_bytes: limit_bytes
                .map(|bytes| bytes.ok_or_else(|| "limitBytes must be greater than 0".to_owned()))
                .transpose()?,
            timestamps: query.flag("timestamps"),
            stream,
        },
    })
}

fn invalid(name: &str, value: &str) -> String {
    format!("invalid value {value:?} for {name}")
}

/// A parsed query string.
struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    fn parse(query: &str) -> Query {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            map.entry(decode(name)).or_default().push(decode(value));
        }
        Query(map)
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|values| values.first()).map(String::as_str)
    }

    /// As Kubernetes reads booleans: present and neither `false` nor `0`.
    fn flag(&self, name: &str) -> bool {
        self.one(name).is_some_and(|value| value != "false" && value != "0")
    }

    fn number(&self, name: &str) -> Result<Option<i64>, String> {
        self.one(name).map(|text| text.parse().map_err(|_| invalid(name, text))).transpose()
    }
}

/// Undoes percent-encoding, and `+` for a space.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[index], hex(index + 1), hex(index + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                index += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs() {
        let Route::Log(log) = route("/containerLogs/ns/p/c", "follow=true&tailLines=5&sinceSeconds=9&previous=false")
        else {
            panic!("a log");
        };
        assert_eq!(
            (log.options.follow, log.options.tail_lines, log.since_seconds, log.previous),
            (true, Some(5), Some(9), false)
        );
        assert!(matches!(route("/containerLogs/ns/p/c", "limitBytes=0"), Route::Bad(_)));
        assert!(matches!(route("/containerLogs/ns/p/c", "sinceTime=yesterday"), Route::Bad(_)));
        assert!(matches!(route("/containerLogs/ns/p", ""), Route::Unknown));
    }

    #[test]
    fn the_uid_of_the_pod_is_taken_in_and_separators_in_names_are_not() {
        let Route::Stream(exec) = route("/exec/ns/p/u-1/c", "command=a&output=1") else { panic!("an exec") };
        assert_eq!(exec.pod, named("ns", "p", Some("u-1")));
        let Route::Stream(forward) = route("/portForward/ns/p/u-1", "port=80") else { panic!("a port-forward") };
        assert_eq!(forward.pod.uid.as_deref(), Some("u-1"));
        let Route::Log(log) = route("/containerLogs/ns/p/c", "uid=u-1") else { panic!("a log") };
        assert_eq!(log.pod, named("ns", "p", Some("u-1")));
        for path in ["/exec/a%2Fb/p/c", "/exec/ns/p/%2e%2e/c", "/exec/ns/p%2fq/u/c", "/containerLogs/ns/../c"] {
            assert_eq!(route(path, "command=a&output=1"), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn streams() {
        let Route::Stream(stream) =
            route("/exec/ns/p/c", "command=sh&command=-c&command=echo+a%26b&output=1&error=1&tty=1")
        else {
            panic!("an exec");
        };
        let StreamKind::Exec { container, command, streams } = stream.kind else { panic!("an exec") };
        assert_eq!((container.as_str(), command), ("c", vec!["sh".to_owned(), "-c".into(), "echo a&b".into()]));
        assert_eq!(streams, Streams { stdin: false, stdout: true, stderr: false, tty: true });
        assert!(matches!(route("/exec/ns/p/c", "output=1"), Route::Bad(_)));
        assert!(matches!(route("/exec/ns/p/c", "command=a"), Route::Bad(_)));
        let Route::Stream(stream) = route("/portForward/ns/p", "port=80&port=81") else { panic!("a port-forward") };
        assert_eq!(stream.kind, StreamKind::PortForward { ports: vec![80, 81] });
    }
}
