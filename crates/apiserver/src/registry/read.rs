//! Get, list and watch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::canonical;
use everynode_api::status::Status;
use everynode_store::{Key, Range, Revision, prefix_range};
use serde::{Deserialize, Serialize};

use super::{Registry, Reply, Target, events, store_failure};
use crate::catalogue::{Action, Row};
use crate::hub::{Filter, Item, Start, Topic, WatchOptions, Watcher};
use crate::stored;
use everynode_common::base64;

/// Pages that a client may ask for are never larger than this (0 asks for everything).
const LIMIT_MAX: usize = 100_000;
/// Objects that a list with a selector and a small limit reads at a time, so that a hundred
/// thousand take a hundred reads.
const SCAN_CHUNK: usize = 1_000;
/// How often a list of the newest state is begun.
const COLLECT_ATTEMPTS: usize = 4;

/// Which state a list shows (DS-I30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Newest,
    /// The newest, if it has reached this revision.
    NotOlderThan(u64),
    Exactly(u64),
}

/// What to list.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    pub(crate) filter: Filter,
    pub(crate) at: At,
    /// 0: everything.
    pub(crate) limit: usize,
    pub(crate) continue_token: Option<String>,
}

impl ListOptions {
    pub(crate) fn everything() -> ListOptions {
        ListOptions { filter: Filter::everything(), at: At::Newest, limit: 0, continue_token: None }
    }
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct ListPage {
    pub(crate) items: Vec<Arc<Item>>,
    pub(crate) revision: u64,
    pub(crate) continue_token: Option<String>,
    /// Absent when the page is complete or selectors make it unknown (DS-I31).
    pub(crate) remaining: Option<u64>,
}

/// What a watch request asks for.
#[derive(Clone, Debug)]
pub(crate) struct WatchParameters {
    pub(crate) filter: Filter,
    /// As in the query; `None`: unset.
    pub(crate) resource_version: Option<u64>,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) bookmarks: bool,
    /// `None`: about once a minute, never all watches at once (DS-I34).
    pub(crate) bookmark_every: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
}

impl Registry {
    /// One object, from the newest state.
    pub(crate) fn get(&self, target: &Target) -> Result<Reply, Status> {
        match target.info.action(target.subresource) {
            Some(Action::Scale) => self.get_scale(target),
            _ => Reply::stored(200, &target.info, &self.current(target)?),
        }
    }

    pub(crate) fn topic(&self, info: &Row) -> Result<Arc<Topic>, Status> {
        self.hub.topic(&info.storage).ok_or_else(Status::no_such_path)
    }

    /// One page of a list.
    pub(crate) async fn list(&self, info: &Row, options: &ListOptions) -> Result<ListPage, Status> {
        let topic = self.topic(info)?;
        let newest = !matches!(options.at, At::Exactly(_)) && options.continue_token.is_none();
        if newest && options.filter.node().is_some() {
            if let At::NotOlderThan(revision) = options.at {
                self.check_reached(revision).await?;
            }
            let whole = self.list_indexed(&topic, &options.filter).await?;
            // One that has no room on a page is read from the store, which pages can be continued
            // from.
            if options.limit == 0 || whole.items.len() <= options.limit {
                return Ok(whole);
            }
        }
        let place = Place::of(info, options)?;
        let range = match options.filter.key(info).filter(|_| !place.continued) {
            Some(key) => Range { end: after(&key), start: key },
            None => Range { start: place.start.clone(), end: prefix_range(&options.filter.prefix(info)).end },
        };
        if let At::NotOlderThan(revision) = options.at {
            self.check_reached(revision).await?;
        }
        self.collect(&topic, options, (range, &options.filter.prefix(info)), place)
    }

    /// How many objects a list may read at most.
    pub(crate) fn list_size(&self, info: &Row, options: &ListOptions) -> Result<usize, Status> {
        let narrow = options.filter.key(info).is_some() || options.filter.node().is_some();
        let limit = if options.limit == 0 { LIMIT_MAX } else { options.limit.min(LIMIT_MAX) };
        match (narrow, &options.filter.namespace) {
            (true, _) => Ok(1),
            (false, None) => Ok(self.topic(info)?.len().min(limit)),
            (false, Some(_)) => Ok(self.topic(info)?.count(&options.filter.prefix(info), limit)),
        }
    }

    /// The pods of one node, all of them: found through the hub's index instead of by reading every
    /// pod.
    async fn list_indexed(&self, topic: &Topic, filter: &Filter) -> Result<ListPage, Status> {
        let newest = self.store.current_revision().await.map_err(|error| store_failure(&error))?;
        self.hub.reached(newest).await;
        let items = topic.select(filter);
        Ok(ListPage { items, revision: newest.0, continue_token: None, remaining: None })
    }

    /// # Errors
    /// 504 if the store has not reached this revision.
    pub(crate) async fn check_reached(&self, revision: u64) -> Result<(), Status> {
        let newest = self.store.current_revision().await.map_err(|error| store_failure(&error))?;
        match revision <= newest.0 {
            true => Ok(()),
            false => Err(super::too_large_version(revision, newest.0)),
        }
    }

    /// Reads the store until the list's page is full or the range ends. A list of the newest state
    /// that is overtaken by so many writes that its revision is forgotten meanwhile begins again.
    fn collect(
        &self,
        topic: &Topic,
        options: &ListOptions,
        (range, prefix): (Range, &str),
        place: Place,
    ) -> Result<ListPage, Status> {
        let may_begin_again = place.revision.is_none() && !place.continued;
        for _ in 1..COLLECT_ATTEMPTS {
            match self.collect_at(topic, options, (range.clone(), prefix), &place) {
                Err(status) if may_begin_again && status.is_expired() => {}
                result => return result,
            }
        }
        self.collect_at(topic, options, (range, prefix), &place)
    }

    fn collect_at(
        &self,
        topic: &Topic,
        options: &ListOptions,
        (mut range, prefix): (Range, &str),
        place: &Place,
    ) -> Result<ListPage, Status> {
        let (limit, selects) = (options.limit.min(LIMIT_MAX), options.filter.selects());
        let mut at = place.revision;
        let mut items: Vec<Arc<Item>> = Vec::new();
        loop {
            let wanted = match limit {
                0 => 0,
                // Of many objects few may match.
                _ if selects => limit.max(SCAN_CHUNK),
                _ => limit - items.len(),
            };
            let page =
                self.store.range(&range, at, wanted).map_err(|error| expired_token(error, place, &range, prefix))?;
            at = Some(page.revision);
            let (count, mut read, mut last) = (page.items.len(), 0, None);
            for item in topic.items(page.items) {
                read += 1;
                last = Some(after(&item.kv.key));
                if !selects || options.filter.matches(&item) {
                    items.push(item);
                }
                if limit > 0 && items.len() >= limit {
                    break;
                }
            }
            let complete = page.remaining == 0 && read == count;
            if complete || last.is_none() || (limit > 0 && items.len() >= limit) {
                let start = last.filter(|_| !complete);
                let start = start.as_deref().and_then(|start| start.strip_prefix(prefix));
                let token = start.map(|start| Token::text(i64::try_from(page.revision.0).unwrap_or(-1), start));
                let remaining = (!complete && !selects).then_some(page.remaining);
                return Ok(ListPage { items, revision: page.revision.0, continue_token: token, remaining });
            }
            range.start = last.unwrap_or(range.start);
        }
    }

    /// Opens a watch (DS-I33, DS-I35).
    pub(crate) async fn watch(&self, info: &Row, parameters: WatchParameters) -> Result<Watcher, Status> {
        let topic = self.topic(info)?;
        let start = match (parameters.resource_version, parameters.send_initial_events) {
            (_, Some(true)) => Start::Everything { marked: true },
            (None | Some(0), _) => Start::Everything { marked: false },
            (Some(revision), _) => Start::After(revision),
        };
        self.hub.loaded().await;
        match parameters.resource_version {
            // Any state will do.
            Some(0) => {}
            None => {
                let newest = self.store.current_revision().await.map_err(|error| store_failure(&error))?;
                self.hub.reached(newest).await;
            }
            Some(revision) => {
                self.check_reached(revision).await?;
                self.hub.reached(Revision(revision)).await;
            }
        }
        let options = WatchOptions {
            bookmarks: parameters.bookmarks,
            timeout: parameters.timeout,
            bookmark_every: parameters
                .bookmark_every
                .unwrap_or_else(|| Duration::from_millis(45_000 + self.env.below(15_000))),
        };
        Watcher::open(&topic, self.hub.follow(), parameters.filter, start, options)
    }
}

/// The first key after this one.
fn after(key: &str) -> Key {
    format!("{key}\0").into()
}

/// Where a list goes on.
struct Place {
    start: Key,
    revision: Option<Revision>,
    continued: bool,
}

impl Place {
    fn of(info: &Row, options: &ListOptions) -> Result<Place, Status> {
        let prefix = options.filter.prefix(info);
        let Some(token) = &options.continue_token else {
            let revision = match options.at {
                At::Exactly(revision) => Some(Revision(revision)),
                At::Newest | At::NotOlderThan(_) => None,
            };
            return Ok(Place { start: prefix.as_str().into(), revision, continued: false });
        };
        let invalid =
            |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let Token { revision, start, .. } = Token::read(token).map_err(invalid)?;
        Ok(Place {
            start: format!("{prefix}{start}").into(),
            // A revision of -1 stands for "no longer consistent": go on with the newest state.
            revision: u64::try_from(revision).ok().map(Revision),
            continued: true,
        })
    }
}

/// Where Go finds that a text is no base64 for URLs: a foreign character, or an end too early.
fn first_bad_byte(text: &str) -> usize {
    let foreign = text.find(|found: char| !(found.is_ascii_alphanumeric() || matches!(found, '-' | '_')));
    foreign.unwrap_or(text.len() - text.len() % 4)
}

/// The version of the form of continue tokens, which is Kubernetes' own.
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on: a token is this in JSON, in base64 for URLs.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Token {
    #[serde(rename = "v")]
    version: String,
    #[serde(rename = "rv")]
    revision: i64,
    /// The first key, without the part that all keys of the list have.
    start: String,
}

impl Token {
    fn text(revision: i64, start: &str) -> String {
        let token = Token { version: TOKEN_VERSION.into(), revision, start: start.into() };
        base64::encode_url(&serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a token that came from outside; why not, in Kubernetes' words.
    fn read(text: &str) -> Result<Token, String> {
        let bytes = base64::decode_url(text)
            .ok_or_else(|| format!("illegal base64 data at input byte {}", first_bad_byte(text)))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        match &token {
            Token { version, .. } if version != TOKEN_VERSION => {
                Err(format!("server does not recognize this encoded version {version:?}"))
            }
            Token { revision: 0, .. } => {
                Err(format!("incorrect encoded start resourceVersion (version {TOKEN_VERSION})"))
            }
            Token { start, .. } if start.is_empty() => {
                Err(format!("encoded start key empty (version {TOKEN_VERSION})"))
            }
            // It is put behind the key of the list: it may lead nowhere else.
            Token { start, .. } if start.split('/').any(|part| matches!(part, "" | "." | "..")) => Err(start.clone()),
            _ => Ok(token),
        }
    }
}

/// An expired token comes with one that goes on inconsistently (DS-I31).
fn expired_token(error: everynode_store::StoreError, place: &Place, range: &Range, prefix: &str) -> Status {
    let mut status = store_failure(&error);
    if place.continued && status.is_expired() {
        status.message = "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                          without the continue parameter, or use the continue token in this response to retrieve the remainder of \
                          the results. Continuing with the provided token results in an inconsistent list - objects that were \
                          created, modified, or deleted between the time the first chunk was returned and now may show up in the \
                          list."
            .into();
        let start = range.start.strip_prefix(prefix).unwrap_or_default();
        status.metadata.continue_token = Token::text(-1, start);
    }
    status
}

/// A stored object in the form of the kind asked for.
pub(crate) fn external(info: &Row, value: &[u8], revision: Revision) -> Result<Bytes, Status> {
    if info.shows(value) {
        return Ok(stored::splice(value, revision));
    }
    let value = events::to_external(info, stored::decode(value, revision)?);
    serde_json::to_vec(&value).map(Bytes::from).map_err(|error| stored::corrupt(&error))
}

/// The `…List` object of a page, assembled from stored bytes.
pub(crate) fn list_body(info: &Row, page: &ListPage) -> Result<Bytes, Status> {
    let size: usize = page.items.iter().map(|item| item.kv.value.len() + 48).sum();
    let mut out = list_head(info, page);
    out.reserve(size);
    for (index, item) in page.items.iter().enumerate() {
        push_item(&mut out, info, item, index)?;
    }
    out.extend_from_slice(LIST_END);
    Ok(out.into())
}

/// What closes a list.
pub(crate) const LIST_END: &[u8] = b"]}";

/// A list's text up to its first item.
pub(crate) fn list_head(info: &Row, page: &ListPage) -> Vec<u8> {
    let text = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{},\"items\":[",
        info.list_kind,
        info.kind.api_version(),
        list_meta_of(info, page)
    );
    text.into_bytes()
}

/// Appends the item at `index` to a list's text.
pub(crate) fn push_item(out: &mut Vec<u8>, info: &Row, item: &Item, index: usize) -> Result<(), Status> {
    if index > 0 {
        out.push(b',');
    }
    match info.is_stored_form() {
        // Custom objects have no other place for their type: they keep it.
        _ if info.custom.is_some() => {
            out.extend_from_slice(&external(info, &item.kv.value, item.kv.modified)?);
        }
        false => {
            let mut value = events::to_external(info, stored::decode(&item.kv.value, item.kv.modified)?);
            for name in ["kind", "apiVersion"] {
                value.as_object_mut().map(|members| members.remove(name));
            }
            serde_json::to_writer(out, &value).map_err(|error| stored::corrupt(&error))?;
        }
        true => canonical::splice_item_into(out, &item.kv.value, item.kv.modified.0),
    }
    Ok(())
}

/// `ListMeta` of a page; that of custom resources always has `continue`, as in the original.
fn list_meta_of(info: &Row, page: &ListPage) -> serde_json::Value {
    let mut meta = list_meta(page);
    if info.custom.is_some() && page.continue_token.is_none() {
        meta["continue"] = "".into();
    }
    meta
}

/// `ListMeta` of a page.
pub(crate) fn list_meta(page: &ListPage) -> serde_json::Value {
    let mut meta = serde_json::json!({"resourceVersion": page.revision.to_string()});
    if let Some(token) = &page.continue_token {
        meta["continue"] = token.as_str().into();
    }
    if let Some(remaining) = page.remaining {
        meta["remainingItemCount"] = remaining.into();
    }
    meta
}
