//! What is passed on to the agent of a node: logs, exec, attach, port-forward, and its own paths.
//!
//! The agent's path and query are made from these values; no text of the request gets there.

use everynode_api::percent;

/// What the agent of a node is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connect {
    Log(LogOptions),
    Exec {
        /// Empty: the pod's only or default one; likewise below.
        container: String,
        command: Vec<String>,
        streams: Streams,
    },
    Attach {
        container: String,
        streams: Streams,
    },
    PortForward {
        ports: Vec<u16>,
    },
    /// `nodes/NAME/proxy/…`: a path of the agent's own.
    Proxy {
        /// The node as it was named, which is what authorisers are asked about: `NAME`,
        /// `NAME:PORT`, `https:NAME:PORT`.
        named: String,
        /// The port that was named.
        port: Option<u16>,
        path: Vec<String>,
        query: Vec<(String, String)>,
    },
}

/// `PodLogOptions`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    pub(crate) container: String,
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) timestamps: bool,
    pub(crate) since_seconds: Option<i64>,
    /// RFC 3339
    pub(crate) since_time: Option<String>,
    pub(crate) tail_lines: Option<i64>,
    pub(crate) limit_bytes: Option<i64>,
    /// `All`, `Stdout` or `Stderr`.
    pub(crate) stream: Option<String>,
}

/// Which streams are wanted of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) tty: bool,
}

/// A pod as its agent must know it: by name and uid, so that none of the same name is taken for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodIdentity<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
}

impl Connect {
    /// The container that was named; empty if none was, or there is none to name.
    pub(crate) fn container(&self) -> &str {
        match self {
            Connect::Log(options) => &options.container,
            Connect::Exec { container, .. } | Connect::Attach { container, .. } => container,
            Connect::PortForward { .. } | Connect::Proxy { .. } => "",
        }
    }

    /// Path and query at the agent, in the words of Kubernetes' agent. `container` is the one that
    /// was chosen.
    pub(crate) fn agent_path(&self, pod: PodIdentity<'_>, container: &str) -> String {
        let PodIdentity { namespace, name, uid } = pod;
        match self {
            // Stock agents have no place for the uid of a log's pod in the path; they pass over the
            // parameter.
            Connect::Log(options) => {
                let query = options.query(uid);
                joined(&["containerLogs", namespace, name, container], &query)
            }
            Connect::Exec { command, streams, .. } => {
                let command = command.iter().map(|word| ("command", word.as_str()));
                let query = percent::query(command.chain(streams.pairs()));
                joined(&["exec", namespace, name, uid, container], &query)
            }
            Connect::Attach { streams, .. } => {
                joined(&["attach", namespace, name, uid, container], &percent::query(streams.pairs()))
            }
            Connect::PortForward { ports } => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let query = percent::query(ports.iter().map(|port| ("port", port.as_str())));
                joined(&["portForward", namespace, name, uid], &query)
            }
            Connect::Proxy { path, query, .. } => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                let query = percent::query(query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                joined(&path, &query)
            }
        }
    }
}

impl LogOptions {
    fn query(&self, uid: &str) -> String {
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        let flag = |on: bool| on.then(|| "true".to_owned());
        let all = [
            ("uid", Some(uid.to_owned())),
            ("follow", flag(self.follow)),
            ("previous", flag(self.previous)),
            ("timestamps", flag(self.timestamps)),
            ("sinceSeconds", number(self.since_seconds)),
            ("sinceTime", self.since_time.clone()),
            ("tailLines", number(self.tail_lines)),
            ("limitBytes", number(self.limit_bytes)),
            ("stream", self.stream.clone()),
        ];
        percent::query(all.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))))
    }
}

impl Streams {
    fn pairs<'a>(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = [("input", self.stdin), ("output", self.stdout), ("error", self.stderr), ("tty", self.tty)];
        all.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "1"))
    }
}

fn joined(segments: &[&str], query: &str) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        path.push_str(&percent::encode(segment));
    }
    let path = if path.is_empty() { "/" } else { path.as_str() };
    match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: PodIdentity<'static> = PodIdentity { namespace: "x", name: "a", uid: "u" };

    #[test]
    fn operations_are_put_in_the_agents_words() {
        let streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };
        let command = vec!["sh".into(), "-c".into(), "a&tty=0/../b?".into()];
        let exec = Connect::Exec { container: String::new(), command, streams };
        let path = "/exec/x/a/u/web?command=sh&command=-c&command=a%26tty%3D0%2F..%2Fb%3F&input=1&output=1&tty=1";
        assert_eq!(exec.agent_path(POD, "web"), path);
        let log = LogOptions { follow: true, tail_lines: Some(5), ..LogOptions::default() };
        assert_eq!(Connect::Log(log).agent_path(POD, "web"), "/containerLogs/x/a/web?uid=u&follow=true&tailLines=5");
        assert_eq!(
            Connect::PortForward { ports: vec![80, 81] }.agent_path(POD, ""),
            "/portForward/x/a/u?port=80&port=81"
        );
        let attach = Connect::Attach { container: String::new(), streams };
        assert_eq!(attach.agent_path(POD, "c/../d"), "/attach/x/a/u/c%2F..%2Fd?input=1&output=1&tty=1");
        let proxy = Connect::Proxy { named: "n1".into(), port: None, path: vec![], query: vec![] };
        assert_eq!(proxy.agent_path(POD, ""), "/");
        let query = vec![("x".into(), "1&y".into())];
        let proxy =
            Connect::Proxy { named: "n1".into(), port: None, path: vec!["metrics".into(), "cadvisor".into()], query };
        assert_eq!(proxy.agent_path(POD, ""), "/metrics/cadvisor?x=1%26y");
    }
}
