//! From a query to what a node's agent is asked for.

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use jiff::Timestamp;

use super::query::{Query, port};
use crate::operation::connect::{Connect, LogOptions, Streams};
use crate::registry::Target;

/// Arguments of one command; a process can take more, which no user types.
const COMMAND_WORDS_MAX: usize = 4_096;
/// Ports of one request.
const PORTS_MAX: usize = 64;

/// Reads what is asked of the agent. `path` is what follows `nodes/NAME/proxy`, whose target is
/// left with the bare name.
pub(crate) fn read(target: &mut Target, query: &Query, path: Vec<String>) -> Result<Connect, Status> {
    let container = query.get("container").to_owned();
    Ok(match target.subresource {
        "log" => Connect::Log(log(target, query)?),
        "exec" => Connect::Exec { container, command: command(query)?, streams: streams(query) },
        "attach" => Connect::Attach { container, streams: streams(query) },
        "portforward" => Connect::PortForward { ports: ports(query)? },
        _ => {
            let named = target.name.clone();
            let (name, port) = node_and_port(&named)?;
            target.name = name.to_owned();
            Connect::Proxy { named, port, path, query: query.pairs().to_vec() }
        }
    })
}

/// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`; the agent speaks HTTPS whatever the scheme.
fn node_and_port(named: &str) -> Result<(&str, Option<u16>), Status> {
    let parts: Vec<&str> = named.split(':').collect();
    let (name, text) = match parts.as_slice() {
        [name] => (*name, ""),
        [name, port] | ["" | "http" | "https", name, port] => (*name, *port),
        _ => ("", ""),
    };
    match name {
        "" => Err(Status::bad_request(format!("invalid node request {named:?}"))),
        name => Ok((name, Some(text).filter(|text| !text.is_empty()).map(port).transpose()?)),
    }
}

fn streams(query: &Query) -> Streams {
    let on = |name: &str| query.flag(name) == Some(true);
    Streams { stdin: on("stdin"), stdout: on("stdout"), stderr: on("stderr"), tty: on("tty") }
}

fn command(query: &Query) -> Result<Vec<String>, Status> {
    let words: Vec<String> = query.all("command").map(str::to_owned).collect();
    match words.len() {
        0..=COMMAND_WORDS_MAX => Ok(words),
        _ => Err(Status::bad_request(format!("a command may not have more than {COMMAND_WORDS_MAX} words"))),
    }
}

fn ports(query: &Query) -> Result<Vec<u16>, Status> {
    let ports: Vec<u16> = query.all("ports").flat_map(|list| list.split(',')).map(port).collect::<Result<_, _>>()?;
    match ports.len() {
        0..=PORTS_MAX => Ok(ports),
        _ => Err(Status::bad_request(format!("not more than {PORTS_MAX} ports can be forwarded at once"))),
    }
}

fn log(target: &Target, query: &Query) -> Result<LogOptions, Status> {
    let on = |name: &str| query.flag(name) == Some(true);
    let given = |name: &str| Some(query.get(name).to_owned()).filter(|text| !text.is_empty());
    let options = LogOptions {
        container: query.get("container").to_owned(),
        follow: on("follow"),
        previous: on("previous"),
        timestamps: on("timestamps"),
        since_seconds: query.number("sinceSeconds")?,
        since_time: given("sinceTime"),
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        stream: given("stream"),
    };
    if let Some(text) = &options.since_time
        && text.parse::<Timestamp>().is_err()
    {
        return Err(Status::bad_request(format!("parsing time {text:?}: it is no time as in RFC 3339")));
    }
    let errors = errors(&options);
    match errors.is_empty() {
        true => Ok(options),
        false => {
            let (group, version, plural) = ("".into(), "v1".into(), "".into());
            let kind = Kind { group, version, kind: "PodLogOptions".into(), plural, namespaced: true };
            Err(Status::invalid(&kind, &target.name, &errors))
        }
    }
}

/// What Kubernetes refuses of log options.
fn errors(options: &LogOptions) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let positive = "must be greater than 0";
    if let Some(lines @ ..0) = options.tail_lines {
        errors.push(FieldError::invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes @ ..1) = options.limit_bytes {
        errors.push(FieldError::invalid(&Path::new("limitBytes"), bytes, positive));
    }
    match (options.since_seconds, &options.since_time) {
        (Some(_), Some(_)) => {
            let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(FieldError::forbidden(&Path::new(""), detail));
        }
        (Some(seconds @ ..1), None) => {
            errors.push(FieldError::invalid(&Path::new("sinceSeconds"), seconds, positive));
        }
        _ => {}
    }
    let Some(stream) = options.stream.as_deref() else { return errors };
    let known = ["All", "Stderr", "Stdout"];
    if !known.contains(&stream) {
        errors.push(FieldError::not_supported(&Path::new("stream"), stream, &known));
    }
    if stream != "All" && options.tail_lines.is_some() {
        let detail = "`tailLines` and specific `stream` are mutually exclusive for now";
        errors.push(FieldError::forbidden(&Path::new(""), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use crate::catalogue::built_in;

    use super::*;

    fn check(subresource: &'static str, query: &str) -> Result<Connect, Status> {
        let mut target = Target { info: (&built_in::POD).into(), namespace: "x".into(), name: "a".into(), subresource };
        read(&mut target, &Query::parse(query).unwrap(), Vec::new())
    }

    #[test]
    fn booleans_are_read_as_the_original_reads_them() {
        let Ok(Connect::Exec { streams, command, .. }) =
            check("exec", "command=ls&stdin=True&stdout=&stderr=False&tty=0&command=-l")
        else {
            panic!("an exec");
        };
        assert_eq!(streams, Streams { stdin: true, stdout: true, stderr: false, tty: false });
        assert_eq!(command, ["ls", "-l"]);
        let Ok(Connect::Log(log)) = check("log", "follow=False&previous=false&timestamps=TRUE&tailLines=0") else {
            panic!("a log");
        };
        assert_eq!((log.follow, log.previous, log.timestamps, log.tail_lines), (false, false, true, Some(0)));
    }

    #[test]
    fn log_options_that_make_no_sense_are_refused() {
        let refused = |query: &str| check("log", query).map(|_| ()).unwrap_err();
        for (query, words) in [
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            (
                "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z",
                ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
            ("stream=x", "stream: Unsupported value: \"x\": supported values: \"All\", \"Stderr\", \"Stdout\""),
            (
                "stream=Stdout&tailLines=1",
                ": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
            ),
        ] {
            let status = refused(query);
            assert_eq!(status.code, 422, "{query}");
            assert_eq!(status.message, format!("PodLogOptions \"a\" is invalid: {words}"));
        }
        for query in ["tailLines=x", "limitBytes=1e3", "sinceTime=yesterday", "sinceSeconds=1.5"] {
            assert_eq!(refused(query).code, 400, "{query}");
        }
    }

    #[test]
    fn a_node_may_be_named_with_its_port() {
        assert_eq!(node_and_port("n1").unwrap(), ("n1", None));
        assert_eq!(node_and_port("n1:10250").unwrap(), ("n1", Some(10250)));
        assert_eq!(node_and_port("https:n1:10250").unwrap(), ("n1", Some(10250)));
        for named in [":10250", "ftp:n1:1", "a:b:c:d", "n1:x", "n1:99999"] {
            assert_eq!(node_and_port(named).unwrap_err().code, 400, "{named}");
        }
    }

    #[test]
    fn ports_are_ports() {
        assert_eq!(
            check("portforward", "ports=80,81&ports=82").unwrap(),
            Connect::PortForward { ports: vec![80, 81, 82] }
        );
        for query in ["ports=x", "ports=-1", "ports=65536", "ports=80,", "ports=80%26port%3D1"] {
            assert_eq!(check("portforward", query).unwrap_err().code, 400, "{query}");
        }
    }
}
