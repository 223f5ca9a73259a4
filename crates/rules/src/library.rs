//! Calls of the functions that `kube-cel` carries: a small program for each, over variables.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key as CelKey, Map as CelMap, OptionalValue};
use kube_cel::cel::{Context, ExecutionError, Program, Value as CelValue};

use crate::fault::Fault;
use crate::node::Operator;
use crate::value::{Items, Key, Members, Value};

/// What operands are called in the programs.
const VARIABLES: [&str; 4] = ["a", "b", "c", "d"];

/// The functions, and the programs made so far, by their text. Neither can be shared by threads.
struct Library {
    functions: Context<'static>,
    programs: RefCell<HashMap<String, Program>>,
}

thread_local! {
    static LIBRARY: Library =
        Library { functions: Context::default().with_all(), programs: RefCell::new(HashMap::new()) };
}

/// Calls a function by its name, on its first operand if it is a method.
pub(crate) fn call<'a>(name: &str, is_method: bool, operands: &[Value<'_>]) -> Result<Value<'a>, Fault> {
    let names = VARIABLES.get(..operands.len()).ok_or(Fault::NoOverload)?;
    let text = match (is_method, names.split_first()) {
        (true, Some((target, rest))) => format!("{target}.{name}({})", rest.join(", ")),
        _ => format!("{name}({})", names.join(", ")),
    };
    run(text, operands)
}

/// Applies an operator to values of the library: times and durations.
pub(crate) fn operator<'a>(operator: Operator, a: &Value<'_>, b: &Value<'_>) -> Result<Value<'a>, Fault> {
    let sign = match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        _ => return Err(Fault::NoOverload),
    };
    run(format!("a {sign} b"), &[a.clone(), b.clone()])
}

/// A date, or a date and time.
pub(crate) fn timestamp<'a>(text: &str) -> Result<Value<'a>, Fault> {
    let whole = if text.contains(['T', 't']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    call("timestamp", false, &[Value::text(whole)])
}

fn run<'a>(text: String, operands: &[Value<'_>]) -> Result<Value<'a>, Fault> {
    LIBRARY.with(|library| {
        let mut scope = library.functions.new_inner_scope();
        for (name, operand) in VARIABLES.into_iter().zip(operands) {
            scope.add_variable_from_value(name, to_library(operand)?);
        }
        let mut programs = library.programs.borrow_mut();
        if !programs.contains_key(&text) {
            let program = Program::compile(&text).map_err(|error| Fault::Other(error.to_string()))?;
            programs.insert(text.clone(), program);
        }
        let program = programs.get(&text).ok_or(Fault::NoOverload)?;
        // Formatting with a width of millions is a panic there; nothing is kept of what it was doing.
        let outcome = catch_unwind(AssertUnwindSafe(|| program.execute(&scope)));
        let failed = |_| Fault::Other("the function cannot be evaluated".to_owned());
        outcome.map_err(failed)?.map(from_library).map_err(|error| fault(&error))
    })
}

fn fault(error: &ExecutionError) -> Fault {
    match error {
        ExecutionError::NoSuchOverload
        | ExecutionError::UndeclaredReference(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::InvalidArgumentCount { .. } => Fault::NoOverload,
        ExecutionError::FunctionError { message, .. } => Fault::Other(message.clone()),
        error => Fault::Other(error.to_string()),
    }
}

fn to_library(value: &Value<'_>) -> Result<CelValue, Fault> {
    Ok(match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Int(value) => CelValue::Int(*value),
        Value::Uint(value) => CelValue::UInt(*value),
        Value::Double(value) => CelValue::Float(*value),
        Value::Text(text) => CelValue::String(Arc::new(text.as_str().to_owned())),
        Value::List(items) => {
            let items = items.iter().map(|item| to_library(&item?)).collect::<Result<Vec<_>, Fault>>()?;
            CelValue::List(Arc::new(items))
        }
        Value::Map(members) => CelValue::Map(CelMap { map: Arc::new(map_to_library(members)?) }),
        Value::Optional(value) => {
            let value = value.as_deref().map(to_library).transpose()?;
            CelValue::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
        }
        Value::TypeName(_) => return Err(Fault::NoOverload),
        Value::Library(value) => value.clone(),
    })
}

fn map_to_library(members: &Members<'_>) -> Result<HashMap<CelKey, CelValue>, Fault> {
    let mut map = HashMap::new();
    for key in members.keys() {
        let Some(value) = members.get(&key) else { continue };
        let key = match key {
            Key::Bool(key) => CelKey::Bool(key),
            Key::Int(key) => CelKey::Int(key),
            Key::Uint(key) => CelKey::Uint(key),
            Key::Text(key) => CelKey::String(Arc::new((*key).to_owned())),
        };
        map.insert(key, to_library(&value?)?);
    }
    Ok(map)
}

fn from_library<'a>(value: CelValue) -> Value<'a> {
    match value {
        CelValue::Null => Value::Null,
        CelValue::Bool(value) => Value::Bool(value),
        CelValue::Int(value) => Value::Int(value),
        CelValue::UInt(value) => Value::Uint(value),
        CelValue::Float(value) => Value::Double(value),
        CelValue::String(text) => Value::text(text.as_str()),
        CelValue::List(items) => Value::List(Items::Made(Arc::new(items.iter().cloned().map(from_library).collect()))),
        CelValue::Map(map) => {
            let member = |(key, value): (&CelKey, &CelValue)| {
                let key = match key {
                    CelKey::Bool(key) => Key::Bool(*key),
                    CelKey::Int(key) => Key::Int(*key),
                    CelKey::Uint(key) => Key::Uint(*key),
                    CelKey::String(key) => Key::Text(key.as_str().into()),
                };
                (key, from_library(value.clone()))
            };
            Value::map(map.map.iter().map(member).collect::<BTreeMap<_, _>>())
        }
        CelValue::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => Value::Optional(optional.value().cloned().map(|value| Arc::new(from_library(value)))),
            None => Value::Library(CelValue::Opaque(opaque)),
        },
        other => Value::Library(other),
    }
}
