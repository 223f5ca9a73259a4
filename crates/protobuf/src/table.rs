//! What the numbers mean: `messages.txt`, read once.
//!
//! A line is a message: its name, the API version under which it is a kind (`-`: of none), its
//! members in the order of the Go type. A member reads `NAME=NUMBER:TYPE`, where the number is
//! `OUTER.NUMBER` if JSON shows the members of message OUTER in its place, and TYPE is
//!
//! - `s` text, `i` integer, `b` flag, `d` floating point, `y` bytes (base64 in JSON);
//! - `t` time, `u` time with microseconds, `q` quantity, `n` a number or a text, `a` any JSON, `w` a
//!   list of texts in a message of its own;
//! - `@MESSAGE`; `A@MESSAGE` that or a list of it, `B@MESSAGE` that or a flag, `S@MESSAGE` that or a
//!   list of texts;
//! - `[]TYPE` a list, `{}TYPE` a map from text;
//! - and `!` after it, if a zero is kept: a pointer in Go, or always written.

use std::collections::HashMap;
use std::sync::OnceLock;

const TEXT: &str = include_str!("messages.txt");

/// Options that every group version has.
const OF_EVERY_VERSION: [&str; 7] =
    ["DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "GetOptions", "ListOptions", "WatchEvent"];
/// Kinds of `meta` that are written with version v1.
const OF_VERSION_1: [&str; 5] = ["Status", "APIVersions", "APIGroup", "APIGroupList", "APIResourceList"];

/// A kind that has a form in protobuf.
#[derive(Clone, Copy, Debug)]
pub struct Kind(pub(crate) &'static Message);

impl Kind {
    /// The members in JSON, without apiVersion and kind, by name.
    pub fn members(self) -> impl Iterator<Item = (&'static str, MemberType)> {
        self.0.fields.iter().map(|field| (field.name.as_str(), MemberType(field)))
    }

    /// The kind of the items, if this is a list.
    pub fn item(self) -> Option<Kind> {
        let items = self.0.fields.iter().find(|field| field.name == "items")?;
        match &items.form {
            Form::List(item) => match **item {
                Form::Message(index) => Some(Kind(table().get(index))),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What is in a member, for tests that compare the table with a schema.
#[derive(Clone, Copy, Debug)]
pub struct MemberType(&'static Field);

impl MemberType {
    /// The members of the message in it, also if it is a list or map of them.
    pub fn members(self) -> Option<impl Iterator<Item = (&'static str, MemberType)>> {
        let message = message_of(&self.0.form)?;
        Some(Kind(message).members())
    }

    /// The name of the message in it, also if it is a list or map of them.
    pub fn message(self) -> Option<&'static str> {
        message_of(&self.0.form).map(|message| message.name.as_str())
    }

    /// The type in the notation of the table, without the message's name.
    pub fn notation(self) -> String {
        notation(&self.0.form)
    }

    /// Whether JSON shows a zero that was written.
    pub fn keeps_zero(self) -> bool {
        self.0.keeps_zero
    }
}

fn message_of(form: &Form) -> Option<&'static Message> {
    match form {
        Form::Message(index) | Form::OrList(index) | Form::OrFlag(index) | Form::OrTexts(index) => {
            Some(table().get(*index))
        }
        Form::List(inner) | Form::Map(inner) => message_of(inner),
        _ => None,
    }
}

fn notation(form: &Form) -> String {
    match form {
        Form::Text => "s".into(),
        Form::Integer => "i".into(),
        Form::Flag => "b".into(),
        Form::Double => "d".into(),
        Form::Bytes => "y".into(),
        Form::Time => "t".into(),
        Form::MicroTime => "u".into(),
        Form::Quantity => "q".into(),
        Form::NumberOrText => "n".into(),
        Form::Any => "a".into(),
        Form::Texts => "w".into(),
        Form::Message(_) => "@".into(),
        Form::OrList(_) => "A".into(),
        Form::OrFlag(_) => "B".into(),
        Form::OrTexts(_) => "S".into(),
        Form::List(inner) => format!("[]{}", notation(inner)),
        Form::Map(inner) => format!("{{}}{}", notation(inner)),
    }
}

/// The kind of this API version (`apps/v1`) and name.
pub fn kind(api_version: &str, name: &str) -> Option<Kind> {
    let table = table();
    let mut found = table.versions.get(name).into_iter().flatten().map(|index| &table.kinds[*index]);
    let found = found.find(|(version, _, _)| version == api_version);
    let of_meta = || {
        let is_there = OF_EVERY_VERSION.contains(&name) || api_version == "v1" && OF_VERSION_1.contains(&name);
        is_there.then(|| table.by_name(&format!("meta.v1.{name}"))).flatten()
    };
    found.map(|(_, _, index)| *index).or_else(of_meta).map(|index| Kind(table.get(index)))
}

/// Every kind with its API version and name.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str, Kind)> {
    let table = table();
    table.kinds.iter().map(|(version, name, index)| (version.as_str(), name.as_str(), Kind(table.get(*index))))
}

/// All messages.
#[derive(Debug)]
pub(crate) struct Table {
    messages: Vec<Message>,
    /// API version, name, index.
    kinds: Vec<(String, String, usize)>,
    /// Indices of the kinds with a name.
    versions: HashMap<String, Vec<usize>>,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    /// By name in JSON.
    pub(crate) fields: Vec<Field>,
    /// Path and index of each field, by path.
    numbers: Vec<(u32, usize)>,
    /// Paths of messages whose members are shown in their place.
    outer: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// The numbers of the messages around it whose members are shown here, outermost first, then
    /// its own.
    pub(crate) numbers: Vec<u32>,
    pub(crate) form: Form,
    /// A zero on the wire is shown in JSON.
    pub(crate) keeps_zero: bool,
}

/// A type, with its form on the wire and in JSON.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Text,
    Integer,
    Flag,
    Double,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    NumberOrText,
    Any,
    Texts,
    Message(usize),
    OrList(usize),
    OrFlag(usize),
    OrTexts(usize),
    List(Box<Form>),
    Map(Box<Form>),
}

/// What a number of a message stands for.
pub(crate) enum Numbered {
    Field(usize),
    /// A message whose members are shown in place of it; its path.
    Outer(u32),
}

/// The one table.
pub(crate) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::load(TEXT).expect("the generated table is well-formed: a test loads it"))
}

impl Message {
    /// The field with this name; `near` is where the last one was, as members come sorted.
    pub(crate) fn find(&self, name: &[u8], near: usize) -> Option<usize> {
        if self.fields.get(near).is_some_and(|field| field.name.as_bytes() == name) {
            return Some(near);
        }
        self.fields.binary_search_by(|field| field.name.as_bytes().cmp(name)).ok()
    }

    /// What a number below a path stands for. The path of a message's own fields is 0.
    pub(crate) fn numbered(&self, path: u32, number: u64) -> Option<Numbered> {
        let path = path << 8 | u32::try_from(number).ok().filter(|number| *number < 256)?;
        match self.numbers.binary_search_by_key(&path, |(held, _)| *held) {
            Ok(found) => Some(Numbered::Field(self.numbers[found].1)),
            Err(_) => self.outer.contains(&path).then_some(Numbered::Outer(path)),
        }
    }
}

impl Table {
    pub(crate) fn get(&self, index: usize) -> &Message {
        &self.messages[index]
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<usize> {
        self.messages.binary_search_by(|message| message.name.as_str().cmp(name)).ok()
    }

    fn load(text: &str) -> Result<Table, String> {
        let heads = text.lines().map(|line| line.split(' ').next().unwrap_or_default());
        let names: HashMap<&str, usize> = heads.enumerate().map(|(index, name)| (name, index)).collect();
        let messages = text.lines().map(|line| message(line, &names)).collect::<Result<Vec<_>, String>>()?;
        let versions = text.lines().map(|line| line.split(' ').nth(1).unwrap_or("-"));
        let kinds = versions.zip(&messages).enumerate().filter(|(_, (version, _))| *version != "-");
        let kinds = kinds.map(|(index, (version, message))| {
            let name = message.name.rsplit('.').next().unwrap_or_default();
            (version.to_owned(), name.to_owned(), index)
        });
        let kinds: Vec<_> = kinds.collect();
        let mut versions: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, (_, name, _)) in kinds.iter().enumerate() {
            versions.entry(name.clone()).or_default().push(index);
        }
        Ok(Table { kinds, versions, messages })
    }
}

fn message(line: &str, names: &HashMap<&str, usize>) -> Result<Message, String> {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default().to_owned();
    let mut fields = words.skip(1).map(|word| field(word, names)).collect::<Result<Vec<_>, String>>()?;
    fields.sort_by(|one, other| one.name.cmp(&other.name));
    let path = |numbers: &[u32]| numbers.iter().fold(0, |path, number| path << 8 | number);
    let mut numbers: Vec<_> = fields.iter().enumerate().map(|(at, field)| (path(&field.numbers), at)).collect();
    numbers.sort_unstable();
    let outer = |field: &Field| (1..field.numbers.len()).map(|length| path(&field.numbers[..length])).collect();
    let mut outer: Vec<u32> = fields.iter().flat_map(|field| -> Vec<u32> { outer(field) }).collect();
    outer.sort_unstable();
    outer.dedup();
    Ok(Message { name, fields, numbers, outer })
}

fn field(word: &str, names: &HashMap<&str, usize>) -> Result<Field, String> {
    let wrong = || format!("not a member: {word}");
    let (name, rest) = word.split_once('=').ok_or_else(wrong)?;
    let (numbers, form) = rest.split_once(':').ok_or_else(wrong)?;
    let numbers = numbers.split('.').map(|number| number.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    let keeps_zero = form.ends_with('!');
    let form = form_of(form.trim_end_matches('!'), names).ok_or_else(wrong)?;
    Ok(Field { name: name.to_owned(), numbers, form, keeps_zero })
}

fn form_of(text: &str, names: &HashMap<&str, usize>) -> Option<Form> {
    if let Some(inner) = text.strip_prefix("[]") {
        return Some(Form::List(Box::new(form_of(inner, names)?)));
    }
    if let Some(inner) = text.strip_prefix("{}") {
        return Some(Form::Map(Box::new(form_of(inner, names)?)));
    }
    if let Some((letter, name)) = text.split_once('@') {
        let index = *names.get(name)?;
        return Some(match letter {
            "" => Form::Message(index),
            "A" => Form::OrList(index),
            "B" => Form::OrFlag(index),
            "S" => Form::OrTexts(index),
            _ => return None,
        });
    }
    Some(match text {
        "s" => Form::Text,
        "i" => Form::Integer,
        "b" => Form::Flag,
        "d" => Form::Double,
        "y" => Form::Bytes,
        "t" => Form::Time,
        "u" => Form::MicroTime,
        "q" => Form::Quantity,
        "n" => Form::NumberOrText,
        "a" => Form::Any,
        "w" => Form::Texts,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        let table = Table::load(TEXT).unwrap();
        assert!(table.messages.len() > 500 && table.kinds.len() > 150);
        assert!(table.messages.is_sorted_by(|one, other| one.name < other.name));
        for message in &table.messages {
            assert!(message.numbers.is_sorted_by(|(one, _), (other, _)| one < other), "{}", message.name);
            assert!(message.fields.iter().all(|field| field.numbers.iter().all(|number| (1..256).contains(number))));
        }
        assert!(Table::load("a - b=1:x\n").is_err() && Table::load("a - b=x:s\n").is_err());
    }

    #[test]
    fn kinds_are_found_by_version() {
        let name = |version, name| kind(version, name).map(|kind| kind.0.name.as_str());
        assert_eq!(name("v1", "Pod"), Some("core.v1.Pod"));
        assert_eq!(name("events.k8s.io/v1", "Event"), Some("events.v1.Event"));
        assert_eq!(name("v1", "Status"), Some("meta.v1.Status"));
        assert_eq!(name("apps/v1", "DeleteOptions"), Some("meta.v1.DeleteOptions"));
        assert_eq!(name("apps/v1", "Pod"), None);
        assert_eq!(name("v1", "PodSpec"), None);
        let item = kind("v1", "PodList").and_then(Kind::item).map(|kind| kind.0.name.as_str());
        assert_eq!(item, Some("core.v1.Pod"));
    }
}
