//! An object's type as apply sees it: what is one value, and what is found by name or keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::element::Scalar;

/// A type of a [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(u32);

/// Types that refer to each other, recursively where objects are recursive.
#[derive(Clone, Debug)]
pub struct Schema {
    atoms: Vec<Atom>,
}

/// What values of a type may be. A value that has several forms takes the one that it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Atom {
    pub scalar: Option<ScalarType>,
    pub list: Option<List>,
    pub map: Option<Map>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarType {
    Text,
    Number,
    Boolean,
    /// Any value without parts.
    Untyped,
}

#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub items: TypeId,
    pub relation: Relation,
}

/// How items of a list are told apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// Not at all: the list is one value.
    Atomic,
    /// By their values.
    Set,
    /// By the values of these fields.
    Map(Vec<Key>),
}

/// A field by which items are found.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub name: Arc<str>,
    /// Its value in items without it.
    pub default: Option<Scalar>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// The fields that have types of their own.
    pub fields: BTreeMap<Arc<str>, TypeId>,
    /// The type of all others; `None`: there are no others.
    pub others: Option<TypeId>,
    /// The map is one value.
    pub atomic: bool,
}

impl Schema {
    /// Anything; lists and maps are one value each.
    pub const UNTYPED_ATOMIC: TypeId = TypeId(0);
    /// Anything; entries of maps are values of their own, lists are one value.
    pub const DEDUCED: TypeId = TypeId(1);

    /// A schema of the two types that every schema has.
    pub fn new() -> Schema {
        let untyped = |map: Map| Atom {
            scalar: Some(ScalarType::Untyped),
            list: Some(List { items: Schema::UNTYPED_ATOMIC, relation: Relation::Atomic }),
            map: Some(map),
        };
        let atomic = Map { others: Some(Schema::UNTYPED_ATOMIC), atomic: true, ..Map::default() };
        let deduced = Map { others: Some(Schema::DEDUCED), ..Map::default() };
        Schema { atoms: vec![untyped(atomic), untyped(deduced)] }
    }

    /// A type that [`Schema::define`] says later: for types that refer to themselves.
    pub fn declare(&mut self) -> TypeId {
        self.add(Atom::default())
    }

    pub fn define(&mut self, id: TypeId, atom: Atom) {
        if let Some(place) = self.atoms.get_mut(id.0 as usize) {
            *place = atom;
        }
    }

    pub fn add(&mut self, atom: Atom) -> TypeId {
        let id = u32::try_from(self.atoms.len()).expect("a schema has fewer than 4 billion types");
        self.atoms.push(atom);
        TypeId(id)
    }

    pub fn scalar(&mut self, scalar: ScalarType) -> TypeId {
        self.add(Atom { scalar: Some(scalar), ..Atom::default() })
    }

    pub fn list(&mut self, items: TypeId, relation: Relation) -> TypeId {
        self.add(Atom { list: Some(List { items, relation }), ..Atom::default() })
    }

    pub fn map(&mut self, map: Map) -> TypeId {
        self.add(Atom { map: Some(map), ..Atom::default() })
    }

    pub(crate) fn get(&self, id: TypeId) -> &Atom {
        &self.atoms[id.0 as usize]
    }
}

impl Default for Schema {
    fn default() -> Schema {
        Schema::new()
    }
}

impl Map {
    /// The type of an entry. Entries that should not be there are taken as they are.
    pub(crate) fn entry(&self, name: &str) -> TypeId {
        self.fields.get(name).copied().or(self.others).unwrap_or(Schema::DEDUCED)
    }
}
