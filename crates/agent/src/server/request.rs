//! What a request asks for, from its path and query. Pure.

use everynode_api::percent;
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

/// The pod that is meant. A pod of the same name made later is another one: the server says the
/// uid.
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

/// Reads path and query. A uid may stand between pod and container. A segment that holds a
/// separator once it is decoded is no name: no client asks for such a path in good faith.
pub(crate) fn route(path: &str, query: &str) -> Route {
    let parts: Option<Vec<String>> = path.split('/').skip(1).map(percent::decode).collect();
    let (Some(parts), Some(query)) = (parts, Query::parse(query)) else {
        return Route::Bad("the path or query is malformed".into());
    };
    if parts.iter().any(|part| part.contains(|c: char| c == '/' || c.is_control()) || part == "." || part == "..") {
        return Route::Unknown;
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
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
    let lists = [query.all("port"), query.all("ports")].concat();
    match lists.iter().flat_map(|list| list.split(',')).map(port).collect() {
        Ok(ports) => Route::Stream(StreamRoute { pod, kind: StreamKind::PortForward { ports } }),
        Err(message) => Route::Bad(message),
    }
}

fn port(text: &str) -> Result<i32, String> {
    text.parse::<u16>().ok().filter(|port| *port > 0).map(i32::from).ok_or_else(|| invalid("port", text))
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
    let at_least = |name: &str, least: i64| match query.number(name)? {
        Some(number) if number < least => Err(format!("{name} must be at least {least}")),
        number => Ok(number),
    };
    let natural = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Ok(LogRoute {
        pod,
        container: container.into(),
        previous: query.flag("previous"),
        since_seconds: at_least("sinceSeconds", 1)?,
        options: LogOptions {
            follow: query.flag("follow"),
            tail_lines: natural(at_least("tailLines", 0)?),
            since: since.transpose()?,
            limit_bytes: natural(at_least("limitBytes", 1)?),
            timestamps: query.flag("timestamps"),
            stream,
        },
    })
}

fn invalid(name: &str, value: &str) -> String {
    format!("invalid value {value:?} for {name}")
}

/// A parsed query string.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Option<Query> {
        percent::pairs(query).map(Query)
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(held, _)| held == name).map(|(_, value)| value.clone()).collect()
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// As Kubernetes reads booleans: present and neither `false` (in any case) nor `0`.
    fn flag(&self, name: &str) -> bool {
        self.one(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, String> {
        self.one(name).map(|text| text.parse().map_err(|_| invalid(name, text))).transpose()
    }
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
        for query in ["tailLines=-1", "sinceSeconds=0", "tailLines=x", "follow=%zz"] {
            assert!(matches!(route("/containerLogs/ns/p/c", query), Route::Bad(_)), "{query}");
        }
        let Route::Log(log) = route("/containerLogs/ns/p/c", "follow=False&timestamps=") else { panic!("a log") };
        assert_eq!((log.options.follow, log.options.timestamps), (false, true));
        for (path, query) in [("/exec/a/p%zz/c", ""), ("/portForward/a/p", "port=0"), ("/portForward/a/p", "port=1,x")]
        {
            assert!(matches!(route(path, query), Route::Bad(_)), "{path}");
        }
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
