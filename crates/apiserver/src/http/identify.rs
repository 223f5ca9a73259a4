//! The client's identity: from the headers of a request and the certificate of its connection to a
//! user, which may act as another one.
//!
//! A header that is not understood never gives more rights than it would give if it were: it is
//! refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use everynode_api::field::go_quote;
use everynode_api::status::Status;
use everynode_api::{names, percent};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::handle::{Connection, Head};
use super::system;
use crate::auth::authorize::Attributes;
use crate::auth::{ANONYMOUS, AUTHENTICATED, SERVICE_ACCOUNT_PREFIX, UNAUTHENTICATED, User, authenticate};
use crate::server::ApiServer;

/// Headers of impersonation begin so.
const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";
/// Groups and further values of one request, each of which is asked about.
const VALUES_MAX: usize = 64;

/// A bearer token wins over a certificate; a bad one is 401 and never anonymous.
pub(super) fn identify(server: &ApiServer, connection: &Connection, head: &Head) -> Result<Arc<User>, Status> {
    let user = match (bearer(&head.headers)?, &connection.user) {
        (Some(token), _) => authenticate::token_user(&server.registry, server.pki.join_token(), token)?.into(),
        (None, Some(user)) => {
            authenticate::check_certificate(&server.registry, user)?;
            user.clone()
        }
        (None, None) => User::anonymous().into(),
    };
    if user.is_anonymous() && !system::is_public(&head.path) {
        return Err(Status::unauthorized());
    }
    if !user.is_anonymous() {
        connection.known(&server.metrics.slots, &user)?;
    }
    match Impersonation::read(&head.headers)? {
        None => Ok(user),
        Some(wanted) => {
            for question in wanted.questions() {
                server.authorize(&user, &question)?;
            }
            Ok(Arc::new(wanted.user()))
        }
    }
}

/// The token of the one `Authorization` header, if there is one. Another scheme, or two headers,
/// are no token.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let token = text.and_then(|text| text.trim().split_once(' ')).filter(|(scheme, token)| {
        let token = token.trim();
        scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(char::is_whitespace)
    });
    token.map(|(_, token)| Some(token.trim())).ok_or_else(Status::unauthorized)
}

/// `kubectl --as`: another user, and what is said of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Impersonation {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    /// `None`: no user is to be impersonated.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Impersonation>, Status> {
        let (mut wanted, mut values) = (Impersonation::default(), 0);
        let about = headers.iter().filter(|(name, _)| name.as_str().starts_with(PREFIX));
        for (name, value) in about {
            let name = name.as_str();
            let refuse = |why: &str| Status::bad_request(format!("the header {name} {why}"));
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| refuse("is not UTF-8"))?.to_owned();
            values += 1;
            if values > VALUES_MAX {
                return Err(refuse("and its like have too many values"));
            }
            let once = |held: &mut String| match (held.is_empty(), text.is_empty()) {
                (_, true) => Err(refuse("is empty")),
                (false, _) => Err(refuse("was sent twice")),
                (true, false) => {
                    held.clone_from(&text);
                    Ok(())
                }
            };
            match (name, name.strip_prefix(EXTRA)) {
                (USER, _) => once(&mut wanted.name)?,
                (UID, _) => once(&mut wanted.uid)?,
                (GROUP, _) if text.is_empty() => return Err(refuse("is empty")),
                (GROUP, _) => wanted.groups.push(text),
                (_, Some(key)) if !key.is_empty() => {
                    let key = percent::decode(key).ok_or_else(|| refuse("is malformed"))?;
                    wanted.extra.entry(key).or_default().push(text);
                }
                _ => return Err(refuse("is not understood")),
            }
        }
        match (values, wanted.name.is_empty()) {
            (0, _) => Ok(None),
            (_, true) => Err(Status::bad_request(wanted.without_name())),
            (_, false) => Ok(Some(wanted)),
        }
    }

    /// The refusal of what names no user, with what it says besides as Go prints it.
    fn without_name(&self) -> String {
        let quoted = |texts: &[String]| texts.iter().map(|text| go_quote(text)).collect::<Vec<_>>().join(", ");
        let list = |texts: &[String]| match texts.is_empty() {
            true => "[]string(nil)".to_owned(),
            false => format!("[]string{{{}}}", quoted(texts)),
        };
        let extra: Vec<String> =
            self.extra.iter().map(|(key, values)| format!("{}:{}", go_quote(key), list(values))).collect();
        let extra = match extra.is_empty() {
            true => "(nil)".to_owned(),
            false => format!("{{{}}}", extra.join(", ")),
        };
        format!(
            "requested &user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:map[string][]string{extra}}} without \
             impersonating a user name",
            go_quote(&self.uid),
            list(&self.groups)
        )
    }

    /// Namespace and name, if it is a service account. What only looks like one is a user of that
    /// name.
    fn account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
        let is_one = names::dns1123_label(namespace).is_empty() && names::dns1123_subdomain(name).is_empty();
        is_one.then_some((namespace, name))
    }

    /// What the caller must be allowed, each of it.
    pub(crate) fn questions(&self) -> Vec<Attributes> {
        let own = str::to_owned;
        let ask = |group: &str, resource: &str, namespace: &str, name: &str, subresource: &str| Attributes {
            verb: own("impersonate"),
            group: own(group),
            version: own("v1"),
            resource: own(resource),
            namespace: own(namespace),
            name: own(name),
            subresource: own(subresource),
            ..Attributes::default()
        };
        let mut all = vec![match self.account() {
            Some((namespace, name)) => ask("", "serviceaccounts", namespace, name, ""),
            None => ask("", "users", "", &self.name, ""),
        }];
        all.extend(self.groups.iter().map(|group| ask("", "groups", "", group, "")));
        for (key, values) in &self.extra {
            all.extend(values.iter().map(|value| ask("authentication.k8s.io", "userextras", "", value, key)));
        }
        if !self.uid.is_empty() {
            all.push(ask("authentication.k8s.io", "uids", "", &self.uid, ""));
        }
        all
    }

    /// The user, with the groups that all users of its sort are in.
    pub(crate) fn user(self) -> User {
        let mut groups = match (self.account(), self.groups.is_empty()) {
            (Some((namespace, _)), true) => {
                vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
            }
            _ => self.groups.clone(),
        };
        let sort = if self.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        let said = |group: &String| group == UNAUTHENTICATED || group == AUTHENTICATED;
        let is_said = match self.name == ANONYMOUS {
            true => groups.iter().any(|group| group == UNAUTHENTICATED),
            false => groups.iter().any(said),
        };
        if !is_said {
            groups.push(sort.to_owned());
        }
        User { name: self.name, uid: self.uid, groups, extra: self.extra, ..User::default() }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    fn read(pairs: &[(&str, &[u8])]) -> Result<Option<Impersonation>, Status> {
        Impersonation::read(&headers(pairs))
    }

    /// `resource[/sub] [namespace/]name`, one for each question.
    fn asked(pairs: &[(&str, &[u8])]) -> Vec<String> {
        let questions = read(pairs).unwrap().unwrap().questions();
        let told = |a: &Attributes| format!("{}/{}/{} {}/{}", a.group, a.resource, a.subresource, a.namespace, a.name);
        questions.iter().map(told).collect()
    }

    #[test]
    fn everything_said_of_the_other_is_asked_about() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(asked(&[("impersonate-user", b"jane")]), ["/users/ /jane"]);
        assert_eq!(asked(&[("impersonate-user", "jürgen".as_bytes())]), ["/users/ /jürgen"]);
        let all: &[(&str, &[u8])] = &[
            ("Impersonate-Group", b"system:masters"),
            ("Impersonate-User", b"system:serviceaccount:x:web"),
            ("Impersonate-Uid", b"7"),
            ("Impersonate-Extra-a%2Fb", b"1"),
            ("Impersonate-Extra-a%2Fb", b"2"),
            ("Impersonate-Group", b"g"),
        ];
        assert_eq!(
            asked(all),
            [
                "/serviceaccounts/ x/web",
                "/groups/ /system:masters",
                "/groups/ /g",
                "authentication.k8s.io/userextras/a/b /1",
                "authentication.k8s.io/userextras/a/b /2",
                "authentication.k8s.io/uids/ /7"
            ]
        );
        let user = read(all).unwrap().unwrap().user();
        assert_eq!((user.uid.as_str(), &user.extra["a/b"]), ("7", &vec!["1".to_owned(), "2".into()]));
        assert_eq!(user.groups, ["system:masters", "g", AUTHENTICATED]);
        assert_eq!(
            asked(&[("impersonate-user", b"system:serviceaccount:x:a:b")]),
            ["/users/ /system:serviceaccount:x:a:b"]
        );
    }

    #[test]
    fn groups_follow_from_the_sort_of_user() {
        let groups = |name: &[u8], more: &[&[u8]]| {
            let mut pairs = vec![("impersonate-user", name)];
            pairs.extend(more.iter().map(|group| ("impersonate-group", *group)));
            read(&pairs).unwrap().unwrap().user().groups
        };
        assert_eq!(groups(b"jane", &[]), [AUTHENTICATED]);
        assert_eq!(groups(b"system:anonymous", &[]), [UNAUTHENTICATED]);
        assert_eq!(groups(b"jane", &[b"system:unauthenticated"]), [UNAUTHENTICATED]);
        let account = groups(b"system:serviceaccount:x:web", &[]);
        assert_eq!(account, ["system:serviceaccounts", "system:serviceaccounts:x", AUTHENTICATED]);
        assert_eq!(groups(b"system:serviceaccount:x:web", &[b"g"]), ["g", AUTHENTICATED]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let cases: &[&[(&str, &[u8])]] = &[
            &[("impersonate-user", b"a\xff")],
            &[("impersonate-user", b"")],
            &[("impersonate-user", b"jane"), ("impersonate-user", b"joe")],
            &[("impersonate-user", b"jane"), ("impersonate-user", b"jane")],
            &[("impersonate-uid", b"1")],
            &[("impersonate-extra-scopes", b"x")],
            &[("impersonate-group", b"system:masters")],
            &[("impersonate-user", b"jane"), ("impersonate-uid", b"1"), ("impersonate-uid", b"2")],
            &[("impersonate-user", b"jane"), ("impersonate-group", b"\xc3\x28")],
            &[("impersonate-user", b"jane"), ("impersonate-extra-", b"x")],
            &[("impersonate-user", b"jane"), ("impersonate-extra-%zz", b"x")],
            &[("impersonate-user", b"jane"), ("impersonate-role", b"x")],
        ];
        for case in cases {
            assert_eq!(read(case).unwrap_err().code, 400, "{case:?}");
        }
    }

    #[test]
    fn one_bearer_token_or_no_user() {
        let token = |values: &[&[u8]]| {
            let pairs: Vec<(&str, &[u8])> = values.iter().map(|value| ("authorization", *value)).collect();
            bearer(&headers(&pairs)).map(|token| token.map(str::to_owned)).map_err(|status| status.code)
        };
        assert_eq!(token(&[]), Ok(None));
        for good in [&b"Bearer t"[..], b"bearer  t ", b"BEARER t"] {
            assert_eq!(token(&[good]), Ok(Some("t".into())));
        }
        for bad in [&b"Basic dTpw"[..], b"Bearer", b"Bearer ", b"Bearer a b", b"t", b"", b"Bearer \xfft"] {
            assert_eq!(token(&[bad]), Err(401), "{bad:?}");
        }
        assert_eq!(token(&[b"Bearer t", b"Bearer t"]), Err(401));
    }
}
