//! `serviceaccounts/NAME/token`: tokens on request, for an audience and a time, bound to an object
//! (KEP-1205, KEP-2799).

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::status::Status;
use everynode_api::time::rfc3339;
use everynode_store::Revision;
use serde_json::{Value, json};

use super::{Caller, Registry, Reply, Target};
use crate::auth::token::{Bound, Issued, Reference, Wanted};
use crate::catalogue::built_in;
use crate::object::{at, items, meta, object_mut, set_meta, text};
use crate::stored;

/// Kubernetes' own bounds of `expirationSeconds`.
const SECONDS_MIN: i64 = 600;
pub(super) const SECONDS_MAX: i64 = 1 << 32;
const SECONDS_DEFAULT: i64 = 3600;
/// An audience is a URL or a short name; a token names a few. Everything of it goes into each
/// token.
const AUDIENCES_MAX: usize = 64;
const AUDIENCE_BYTES_MAX: usize = 1024;

pub(super) const TOKEN_REQUEST: Kind =
    Kind::built_in("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", true);

impl Registry {
    /// POST to `serviceaccounts/NAME/token`.
    pub(super) fn token(&self, caller: &Caller<'_>, target: &Target, body: &Value) -> Result<Reply, Status> {
        check_names(target, body)?;
        let account = stored::decode(&self.current(target)?.value, Revision(0))?;
        let (audiences, seconds) = (audiences(body)?, seconds(body)?);
        let bound_object = self.bound_object(target, body)?;
        let audience = audiences.first().map_or("", String::as_str);
        let by_agent = bound_object.as_ref().filter(|_| caller.user.node().is_some());
        let longest = by_agent.map_or(i64::MAX, |pod| super::admission::longest_life(pod, audience));
        let seconds = seconds.min(longest.max(SECONDS_MIN));
        let bound = self.bound(&account, bound_object.as_ref())?;
        let wanted = Wanted { id: self.env.uid(), bound, audiences, seconds };
        let issued = self.tokens.issue(wanted, self.env.now()).map_err(Status::internal)?;
        let mut answer = self.answer(target, body, &issued, seconds);
        let mut asked = body.clone();
        object_mut(&mut asked, "spec").entry("expirationSeconds").or_insert_with(|| SECONDS_DEFAULT.into());
        if let Some(entries) = self.entries_of_request(caller, target, (&TOKEN_REQUEST, &asked)) {
            set_meta(&mut answer, "managedFields", entries);
        }
        Ok(Reply::value(201, &answer))
    }

    fn answer(&self, target: &Target, body: &Value, issued: &Issued, seconds: i64) -> Value {
        json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": target.name, "namespace": target.namespace, "uid": self.env.uid(),
                         "creationTimestamp": self.env.now_text()},
            "spec": {"audiences": issued.audiences, "expirationSeconds": seconds,
                     "boundObjectRef": body["spec"]["boundObjectRef"]},
            "status": {"token": issued.token, "expirationTimestamp": rfc3339(issued.expires)},
        })
    }

    /// What goes into the token: the account, what it is bound to, and a pod's node.
    fn bound(&self, account: &Value, object: Option<&Value>) -> Result<Bound, Status> {
        let of_kind = |kind: &str| object.filter(|object| object["kind"] == kind).map(reference);
        let node = object.map(|object| text(object, &["spec", "nodeName"])).filter(|node| !node.is_empty());
        let node = node.map(|node| self.node_reference(node)).transpose()?;
        Ok(Bound {
            namespace: meta(account, "namespace").into(),
            serviceaccount: reference(account),
            pod: of_kind("Pod"),
            secret: of_kind("Secret"),
            node: of_kind("Node").or(node),
        })
    }

    /// A node with its uid, as long as it exists.
    fn node_reference(&self, name: &str) -> Result<Reference, Status> {
        let info = &built_in::NODE;
        let target = Target { info: info.into(), namespace: String::new(), name: name.into(), subresource: "" };
        match self.current_value(&target) {
            Ok((_, node)) => Ok(reference(&node)),
            Err(status) if status.is_not_found() => Ok(Reference { name: name.into(), uid: String::new() }),
            Err(status) => Err(status),
        }
    }

    /// The object that a token is bound to must exist, with the uid that was named; a pod must be
    /// of the account.
    fn bound_object(&self, target: &Target, body: &Value) -> Result<Option<Value>, Status> {
        let wanted = at(body, &["spec", "boundObjectRef"]);
        if wanted.is_null() {
            return Ok(None);
        }
        let (version, kind) = (text(wanted, &["apiVersion"]), text(wanted, &["kind"]));
        let (name, uid) = (text(wanted, &["name"]), text(wanted, &["uid"]));
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let info = match (group, kind) {
            ("", "Pod") => &built_in::POD,
            ("", "Secret") => &built_in::SECRET,
            ("", "Node") => &built_in::NODE,
            _ => {
                let text = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
                return Err(Status::bad_request(text));
            }
        };
        let namespace = if info.kind.namespaced { target.namespace.clone() } else { String::new() };
        let (_, value) =
            self.current_value(&Target { info: info.into(), namespace, name: name.into(), subresource: "" })?;
        if kind == "Pod" && text(&value, &["spec", "serviceAccountName"]) != target.name {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                target.name
            )));
        }
        match uid.is_empty() || uid == meta(&value, "uid") {
            true => Ok(Some(value)),
            false => Err(other_uid(&info.kind, name, uid)),
        }
    }
}

fn reference(object: &Value) -> Reference {
    Reference { name: meta(object, "name").into(), uid: meta(object, "uid").into() }
}

/// Kubernetes names the kind here where everywhere else it names the resource.
fn other_uid(kind: &Kind, name: &str, uid: &str) -> Status {
    let named = Kind { plural: kind.kind.clone(), ..kind.clone() };
    let text = format!(
        "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and \
         then recreated"
    );
    Status::conflict(&named, name, &text)
}

/// What the body says of name and namespace must be what the path says.
fn check_names(target: &Target, body: &Value) -> Result<(), Status> {
    for (member, wanted) in [("name", &target.name), ("namespace", &target.namespace)] {
        let given = meta(body, member);
        if !given.is_empty() && given != wanted {
            let path = Path::new("metadata").child(member);
            let text = format!("must match the service account {member} if specified");
            let error = FieldError::invalid(&path, given, &text);
            return Err(Status::invalid(&TOKEN_REQUEST, &target.name, &[error]));
        }
    }
    Ok(())
}

fn seconds(body: &Value) -> Result<i64, Status> {
    let seconds = at(body, &["spec", "expirationSeconds"]).as_i64().unwrap_or(SECONDS_DEFAULT);
    let refuse = |text: &str| {
        let path = Path::new("spec").child("expirationSeconds");
        let error = FieldError::invalid(&path, seconds, text);
        Err(Status::invalid(&TOKEN_REQUEST, "", &[error]))
    };
    match seconds {
        seconds if seconds < SECONDS_MIN => refuse("may not specify a duration less than 10 minutes"),
        seconds if seconds > SECONDS_MAX => refuse("may not specify a duration larger than 2^32 seconds"),
        _ => Ok(seconds),
    }
}

fn audiences(body: &Value) -> Result<Vec<String>, Status> {
    let list = items(body, &["spec", "audiences"]).iter();
    let audiences: Vec<String> = list.filter_map(|audience| audience.as_str().map(str::to_owned)).collect();
    if audiences.len() > AUDIENCES_MAX || audiences.iter().any(|audience| audience.len() > AUDIENCE_BYTES_MAX) {
        let path = Path::new("spec").child("audiences");
        let text = format!("must have at most {AUDIENCES_MAX} items of at most {AUDIENCE_BYTES_MAX} bytes");
        return Err(Status::invalid(&TOKEN_REQUEST, "", &[FieldError::invalid(&path, audiences.len() as i64, &text)]));
    }
    Ok(audiences)
}
