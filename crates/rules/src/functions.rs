//! What can be called: a table of signatures, with what a call costs and how large its result is.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::cost::{pattern, traverse};
use crate::types::Type;

/// One way to call a function.
#[derive(Debug)]
pub(crate) struct Function {
    /// With its namespace: `math.greatest`.
    pub(crate) name: String,
    /// Called on a value: its first operand.
    pub(crate) is_method: bool,
    pub(crate) operands: Vec<Type>,
    result: Type,
    size: Size,
    work: Work,
}

/// How large the result is.
#[derive(Debug)]
enum Size {
    OfType,
    /// The product of the sizes of these operands.
    Product(Vec<usize>),
}

/// What the call costs besides its operands.
#[derive(Debug)]
enum Work {
    One,
    /// The product of walks through these operands.
    Texts(Vec<usize>),
    Items(Vec<usize>),
    /// A text, the first operand, against a pattern, the second.
    Pattern,
}

/// `OPERAND.NAME(OPERANDS) -> RESULT`, then `size` with the operands that bound the result's size
/// (a text of no given size can have any), then `work`: `texts` or `items` with operands, or
/// `pattern`. Operands are counted from 0, the one before the dot included.
const TABLE: &str = "
text.contains(text) -> bool, work texts 0 1
text.startsWith(text) -> bool, work texts 1
text.endsWith(text) -> bool, work texts 1
text.matches(text) -> bool, work pattern
matches(text, text) -> bool, work pattern
size(text) -> int
size(bytes) -> int
size(list) -> int
size(map) -> int
text.size() -> int
bytes.size() -> int
list.size() -> int
map.size() -> int
int(int) -> int
int(uint) -> int
int(double) -> int
int(text) -> int
int(timestamp) -> int
uint(int) -> uint
uint(uint) -> uint
uint(double) -> uint
uint(text) -> uint
double(int) -> double
double(uint) -> double
double(double) -> double
double(text) -> double
bool(bool) -> bool
bool(text) -> bool
string(text) -> text, size 0
string(bool) -> text
string(int) -> text
string(uint) -> text
string(double) -> text
string(bytes) -> text, size 0, work texts 0
string(timestamp) -> text
string(duration) -> text
string(IP) -> text
string(CIDR) -> text
bytes(bytes) -> bytes, size 0
bytes(text) -> bytes, size 0, work texts 0
type(any) -> type
dyn(any) -> any
timestamp(text) -> timestamp
timestamp(timestamp) -> timestamp
timestamp(int) -> timestamp
duration(text) -> duration
duration(duration) -> duration
timestamp.getFullYear() -> int
timestamp.getFullYear(text) -> int
timestamp.getMonth() -> int
timestamp.getMonth(text) -> int
timestamp.getDayOfYear() -> int
timestamp.getDayOfYear(text) -> int
timestamp.getDayOfMonth() -> int
timestamp.getDayOfMonth(text) -> int
timestamp.getDate() -> int
timestamp.getDate(text) -> int
timestamp.getDayOfWeek() -> int
timestamp.getDayOfWeek(text) -> int
timestamp.getHours() -> int
timestamp.getHours(text) -> int
timestamp.getMinutes() -> int
timestamp.getMinutes(text) -> int
timestamp.getSeconds() -> int
timestamp.getSeconds(text) -> int
timestamp.getMilliseconds() -> int
timestamp.getMilliseconds(text) -> int
duration.getHours() -> int
duration.getMinutes() -> int
duration.getSeconds() -> int
duration.getMilliseconds() -> int
optional.of(any) -> optional
optional.ofNonZeroValue(any) -> optional
optional.none() -> optional
optional.hasValue() -> bool
optional.value() -> any
optional.orValue(any) -> any
optional.or(optional) -> optional
text.charAt(int) -> text
text.indexOf(text) -> int, work texts 0 1
text.indexOf(text, int) -> int, work texts 0 1
text.lastIndexOf(text) -> int, work texts 0 1
text.lastIndexOf(text, int) -> int, work texts 0 1
text.lowerAscii() -> text, size 0, work texts 0
text.upperAscii() -> text, size 0, work texts 0
text.reverse() -> text, size 0, work texts 0
text.replace(text, text) -> text, size 0 2, work texts 0
text.replace(text, text, int) -> text, size 0 2, work texts 0
text.split(text) -> texts, size 0, work texts 0
text.split(text, int) -> texts, size 0, work texts 0
text.substring(int) -> text, size 0, work texts 0
text.substring(int, int) -> text, size 0, work texts 0
text.trim() -> text, size 0, work texts 0
text.format(list) -> text, work texts 0
strings.quote(text) -> text, size 0, work texts 0
list.join() -> text, work items 0
list.join(text) -> text, work items 0
list.isSorted() -> bool, work items 0
list.sum() -> any, work items 0
list.min() -> any, work items 0
list.max() -> any, work items 0
list.indexOf(any) -> int, work items 0
list.lastIndexOf(any) -> int, work items 0
list.distinct() -> list, size 0, work items 0 0
list.flatten() -> list, work items 0
list.flatten(int) -> list, work items 0
list.reverse() -> list, size 0, work items 0
list.slice(int, int) -> list, size 0, work items 0
list.sort() -> list, size 0, work items 0
list.first() -> optional
list.last() -> optional
sets.contains(list, list) -> bool, work items 0 1
sets.equivalent(list, list) -> bool, work items 0 1
sets.intersects(list, list) -> bool, work items 0 1
text.find(text) -> text, size 0, work pattern
text.findAll(text) -> texts, size 0, work pattern
text.findAll(text, int) -> texts, size 0, work pattern
url(text) -> URL, work texts 0
isURL(text) -> bool, work texts 0
URL.getScheme() -> text
URL.getHost() -> text
URL.getHostname() -> text
URL.getPort() -> text
URL.getEscapedPath() -> text
URL.getQuery() -> map
ip(text) -> IP, work texts 0
isIP(text) -> bool, work texts 0
ip.isCanonical(text) -> bool, work texts 0
IP.family() -> int
IP.isUnspecified() -> bool
IP.isLoopback() -> bool
IP.isLinkLocalMulticast() -> bool
IP.isLinkLocalUnicast() -> bool
IP.isGlobalUnicast() -> bool
cidr(text) -> CIDR, work texts 0
isCIDR(text) -> bool, work texts 0
CIDR.containsIP(text) -> bool, work texts 1
CIDR.containsIP(IP) -> bool
CIDR.containsCIDR(text) -> bool, work texts 1
CIDR.containsCIDR(CIDR) -> bool
CIDR.ip() -> IP
CIDR.masked() -> CIDR
CIDR.prefixLength() -> int
quantity(text) -> Quantity, work texts 0
isQuantity(text) -> bool, work texts 0
Quantity.sign() -> int
Quantity.isInteger() -> bool
Quantity.asInteger() -> int
Quantity.asApproximateFloat() -> double
Quantity.add(Quantity) -> Quantity
Quantity.add(int) -> Quantity
Quantity.sub(Quantity) -> Quantity
Quantity.sub(int) -> Quantity
Quantity.isLessThan(Quantity) -> bool
Quantity.isGreaterThan(Quantity) -> bool
Quantity.compareTo(Quantity) -> int
semver(text) -> Semver, work texts 0
semver(text, bool) -> Semver, work texts 0
isSemver(text) -> bool, work texts 0
isSemver(text, bool) -> bool, work texts 0
Semver.major() -> int
Semver.minor() -> int
Semver.patch() -> int
Semver.isLessThan(Semver) -> bool
Semver.isGreaterThan(Semver) -> bool
Semver.compareTo(Semver) -> int
format.named(text) -> optional
format.dns1123Label() -> Format
format.dns1123Subdomain() -> Format
format.dns1035Label() -> Format
format.qualifiedName() -> Format
format.dns1123LabelPrefix() -> Format
format.dns1123SubdomainPrefix() -> Format
format.dns1035LabelPrefix() -> Format
format.labelValue() -> Format
format.uri() -> Format
format.uuid() -> Format
format.byte() -> Format
format.date() -> Format
format.datetime() -> Format
Format.validate(text) -> optional, work texts 1
base64.encode(bytes) -> text, size 0, work texts 0
base64.decode(text) -> bytes, size 0, work texts 0
math.abs(any) -> any
math.sign(any) -> any
math.ceil(double) -> double
math.floor(double) -> double
math.round(double) -> double
math.trunc(double) -> double
math.sqrt(any) -> double
math.isNaN(double) -> bool
math.isInf(double) -> bool
math.isFinite(double) -> bool
math.greatest(any) -> any, work items 0
math.greatest(any, any) -> any
math.greatest(any, any, any) -> any
math.greatest(any, any, any, any) -> any
math.least(any) -> any, work items 0
math.least(any, any) -> any
math.least(any, any, any) -> any
math.least(any, any, any, any) -> any
jsonpatch.escapeKey(text) -> text, work texts 0
";

/// Names before a dot that are no values.
const NAMESPACES: [&str; 8] = ["base64", "format", "ip", "jsonpatch", "math", "optional", "sets", "strings"];

/// The rows of the table, and what they say; `None`: not understood.
pub(crate) fn rows() -> Vec<(&'static str, Option<Function>)> {
    TABLE.lines().filter(|line| !line.is_empty()).map(|line| (line, Function::read(line))).collect()
}

/// All ways to call a function of a name.
pub(crate) fn named(name: &str) -> &'static [Function] {
    static FUNCTIONS: LazyLock<BTreeMap<String, Vec<Function>>> = LazyLock::new(|| {
        let mut functions = BTreeMap::<String, Vec<Function>>::new();
        for function in rows().into_iter().filter_map(|(_, function)| function) {
            functions.entry(function.name.clone()).or_default().push(function);
        }
        functions
    });
    FUNCTIONS.get(name).map_or(&[], Vec::as_slice)
}

/// The name of a function in a namespace. `None`: `before` is not one.
pub(crate) fn in_namespace(before: &str, name: &str) -> Option<String> {
    NAMESPACES.contains(&before).then(|| format!("{before}.{name}"))
}

fn type_named(name: &str) -> Type {
    match name {
        "any" => Type::Any,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "text" => Type::Text { size_max: u64::MAX },
        "bytes" => Type::Bytes { size_max: u64::MAX },
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::TypeName,
        "optional" => Type::Optional(Arc::new(Type::Any)),
        "list" => Type::List { item: Arc::new(Type::Any), size_max: u64::MAX },
        "texts" => Type::List { item: Arc::new(type_named("text")), size_max: u64::MAX },
        "map" => Type::Map { key: Arc::new(Type::Any), value: Arc::new(Type::Any), size_max: u64::MAX },
        "URL" => Type::Library("kubernetes.URL"),
        "IP" => Type::Library("net.IP"),
        "CIDR" => Type::Library("net.CIDR"),
        "Quantity" => Type::Library("kubernetes.Quantity"),
        "Semver" => Type::Library("kubernetes.Semver"),
        _ => Type::Library("kubernetes.NamedFormat"),
    }
}

impl Function {
    fn read(line: &str) -> Option<Function> {
        let (call, made) = line.split_once(" -> ")?;
        let mut clauses = made.split(", ");
        let result = type_named(clauses.next()?);
        let (mut size, mut work) = (Size::OfType, Work::One);
        for clause in clauses {
            let (words, numbers): (Vec<_>, Vec<_>) = clause.split(' ').partition(|word| word.parse::<usize>().is_err());
            let of = numbers.into_iter().filter_map(|number| number.parse().ok()).collect();
            match words.as_slice() {
                ["size"] => size = Size::Product(of),
                ["work", "texts"] => work = Work::Texts(of),
                ["work", "items"] => work = Work::Items(of),
                ["work", "pattern"] => work = Work::Pattern,
                _ => return None,
            }
        }
        let (name, operands) = call.strip_suffix(')')?.split_once('(')?;
        let operands = operands.split(", ").filter(|operand| !operand.is_empty()).map(type_named);
        let (target, short) = name.split_once('.').map_or((None, name), |(target, short)| (Some(target), short));
        let namespaced = target.is_some_and(|target| is_namespace_of(target, short));
        let target = target.filter(|_| !namespaced);
        Some(Function {
            name: if namespaced { name.to_owned() } else { short.to_owned() },
            is_method: target.is_some(),
            operands: target.map(type_named).into_iter().chain(operands).collect(),
            result,
            size,
            work,
        })
    }

    /// Whether it takes operands of these types.
    pub(crate) fn takes(&self, is_method: bool, operands: &[Type]) -> bool {
        self.is_method == is_method
            && self.operands.len() == operands.len()
            && operands.iter().zip(&self.operands).all(|(given, wanted)| given.fits(wanted))
    }

    /// What it gives, made of operands of these types.
    pub(crate) fn result(&self, operands: &[Type]) -> Type {
        let of = |operand: &Type| match operand {
            Type::List { item, .. } => (**item).clone(),
            Type::Optional(of) => (**of).clone(),
            _ => Type::Any,
        };
        let first = operands.first().map_or(Type::Any, of);
        let result = match (self.name.as_str(), &self.result) {
            ("sum" | "min" | "max" | "value", _) => first,
            ("orValue", _) => first.or(&operands[1]),
            ("or", _) => operands[0].or(&operands[1]),
            ("optional.of" | "optional.ofNonZeroValue", _) => Type::Optional(Arc::new(operands[0].clone())),
            ("first" | "last", _) => Type::Optional(Arc::new(first)),
            ("distinct" | "reverse" | "slice" | "sort", Type::List { size_max, .. }) => {
                Type::List { item: Arc::new(first), size_max: *size_max }
            }
            (_, result) => result.clone(),
        };
        match &self.size {
            Size::OfType => result,
            Size::Product(of) => result.with_size(product(of, |operand| operands[operand].size().max(1))),
        }
    }

    /// What a call costs, operands aside: at most, by their types, or really, by their values.
    pub(crate) fn cost(&self, size: impl Fn(usize) -> u64) -> u64 {
        match &self.work {
            Work::One => 1,
            Work::Texts(of) => product(of, |operand| traverse(size(operand))).max(1),
            Work::Items(of) => product(of, &size).max(1),
            Work::Pattern => traverse(size(0).saturating_add(1)).saturating_mul(pattern(size(1))).max(1),
        }
    }
}

fn is_namespace_of(before: &str, name: &str) -> bool {
    match before {
        // A type as well.
        "optional" => matches!(name, "of" | "none" | "ofNonZeroValue"),
        before => NAMESPACES.contains(&before),
    }
}

fn product(operands: &[usize], of: impl Fn(usize) -> u64) -> u64 {
    operands.iter().fold(1, |product: u64, operand| product.saturating_mul(of(*operand)))
}
