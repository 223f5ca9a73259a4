//! Server-side tables: what `kubectl get` prints (DS-I38, DS-I39, DS-A50 to DS-A52, DS-H27).
//!
//! A kind has a list of columns and a function from an object and the time to its cells. Reading
//! order: [`table`], [`columns`], then the kinds.

mod age;
mod certificates;
mod columns;
mod devices;
mod kinds;
mod limits;
mod network;
mod node;
mod pod;
mod storage;
#[cfg(test)]
mod tests;
mod volumes;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::columns::Column;
pub(crate) use self::columns::Printer;
use crate::catalogue::Row;
use crate::object::take_metadata;

/// What each row carries of its object (`includeObject`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IncludeObject {
    None,
    Metadata,
    Object,
}

/// A whole `meta.k8s.io/v1 Table`. `list_meta` is its metadata; `with_columns` is false from the
/// second event of a watch on.
pub(crate) fn table(
    info: &Row,
    items: Vec<Value>,
    list_meta: Value,
    include: IncludeObject,
    with_columns: bool,
    now: Timestamp,
) -> Value {
    let printer = &info.printer;
    let rows: Vec<Value> = items.into_iter().map(|item| row(printer, item, include, now)).collect();
    let definitions = match with_columns {
        true => printer.columns.iter().map(definition).collect(),
        false => Value::Null,
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.kind,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

fn row(printer: &Printer, item: Value, include: IncludeObject, now: Timestamp) -> Value {
    let mut row = json!({ "cells": printer.cells(&item, now) });
    if let Some(condition) = (printer.condition)(&item) {
        row["conditions"] = json!([condition]);
    }
    row["object"] = object(item, include);
    row
}

fn object(mut item: Value, include: IncludeObject) -> Value {
    match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Object => item,
        IncludeObject::Metadata => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": take_metadata(&mut item),
        }),
    }
}
