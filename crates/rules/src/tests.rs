//! Expressions as text, with what they give.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::{Budget, CompileError, Expression, Fault, Object, Outcome, Type, escaped, excess};

/// The object that most expressions read.
fn object() -> (Json, Type) {
    let item = Type::Object(Arc::new(Object::new([
        ("name".to_owned(), Type::text(Some(10))),
        ("count".to_owned(), Type::Int),
    ])));
    let of = Type::Object(Arc::new(Object::new([
        ("name".to_owned(), Type::text(Some(20))),
        ("min".to_owned(), Type::Int),
        ("max".to_owned(), Type::Int),
        ("ratio".to_owned(), Type::Double),
        ("on".to_owned(), Type::Bool),
        ("absent".to_owned(), Type::text(Some(5))),
        ("items".to_owned(), Type::list(item, Some(5), 2)),
        ("labels".to_owned(), Type::map(Type::text(Some(10)), Some(5), 2)),
        ("ports".to_owned(), Type::list(Type::Int, Some(10), 1)),
        ("since".to_owned(), Type::Timestamp),
        ("every".to_owned(), Type::Duration),
        ("some-name".to_owned(), Type::Int),
        ("namespace".to_owned(), Type::text(None)),
        ("a__b".to_owned(), Type::Int),
        ("either".to_owned(), Type::Any),
    ])));
    let json = json!({
        "name": "web", "min": 1, "max": 3, "ratio": 0.5, "on": true,
        "items": [{"name": "a", "count": 1}, {"name": "b", "count": 2}],
        "labels": {"app": "web", "tier": "front"}, "ports": [80, 443],
        "since": "2024-05-06T07:08:09Z", "every": "1h30m", "some-name": 7, "namespace": "default", "a__b": 8,
        "either": "5%",
    });
    (json, of)
}

fn compiled(text: &str) -> Result<Expression, CompileError> {
    Expression::compile(text, &[("self", &object().1)])
}

fn evaluated(text: &str) -> Result<Outcome, Fault> {
    let (json, of) = object();
    let expression = compiled(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.evaluate(&[(Some(&json), &of)], &mut Budget::default())
}

#[test]
fn expressions_that_are_true() {
    let table = "
        self.min <= self.max && self.name.startsWith('w')
        self.name == 'web' && self.name != \"wab\" && self.name.size() == 3 && size(self.name) == 3
        has(self.name) && !has(self.absent)
        self.items.all(i, i.count > 0) && self.items.exists(i, i.name == 'b')
        self.items.exists_one(i, i.name == 'a')
        self.items.map(i, i.count) == [1, 2]
        self.items.filter(i, i.count > 1).size() == 1
        self.items.map(i, i.count > 1, i.name) == ['b']
        self.items.all(n, i, i.count == n + 1)
        self.labels.all(k, v, v != '') && self.labels.exists(k, v, k == 'app')
        self.labels.all(k, k.size() > 2)
        self.labels.transformMap(k, v, v + '!')['app'] == 'web!'
        self.ports.transformList(n, p, n > 0, p) == [443]
        'app' in self.labels && !('x' in self.labels) && 80 in self.ports
        self.labels['app'] == self.name && self.ports[1] == 443
        self.?absent.orValue('none') == 'none' && self.?name.orValue('none') == 'web'
        self.?absent.hasValue() == false && self.?name.value() == 'web'
        self.labels[?'x'].orValue('y') == 'y' && self.ports[?0].orValue(1) == 80
        self.?name.optMap(n, n + '!').orValue('') == 'web!' && !self.?absent.optMap(n, n + '!').hasValue()
        self.min + 2 == self.max && self.max * 2 - 1 == 5 && self.max / 2 == 1 && self.max % 2 == 1 && -self.min == -1
        self.ratio < 1 && self.ratio == 0.5 && 1 < 1.5 && 2u > 1u && dyn(2u) == 2 && 3.0 == dyn(3)
        self.on ? self.min == 1 : false
        self.some__dash__name == 7 && self.__namespace__ == 'default' && self.a__underscores__b == 8
        self.since.getFullYear() == 2024 && self.since > timestamp('2024-01-01T00:00:00Z')
        self.since - timestamp('2024-05-06T07:08:08Z') == duration('1s') && self.every > duration('1h')
        self.every.getMinutes() == 90
        type(self.min) == int && type(self.name) == string && type(self.ports) == list
        int('5') == 5 && string(5) == '5' && double(1) == 1.0 && string(true) == 'true' && uint(3) == 3u
        self.name.matches('^w.b$') && 'a-b-c'.split('-').size() == 3 && ['a', 'b'].join('+') == 'a+b'
        'Hello'.lowerAscii() == 'hello' && 'a b'.replace(' ', '') == 'ab' && 'abc'.substring(1) == 'bc'
        'abc'.indexOf('c') == 2 && ' a '.trim() == 'a' && 'abc'.charAt(1) == 'b'
        self.ports.isSorted() && self.ports.sum() == 523 && self.ports.max() == 443 && self.ports.indexOf(443) == 1
        sets.contains(self.ports, [80]) && sets.intersects([1, 80], self.ports) && !sets.equivalent([1], [2])
        'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1'.find('[0-9]') == '1'
        isURL('https://a.b:80/c') && url('https://a.b:80/c').getHost() == 'a.b:80'
        isIP('10.0.0.1') && ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.2.3')
        quantity('1Ki').isGreaterThan(quantity('1k')) && isQuantity('500m') && quantity('1').compareTo(quantity('2')) == -1
        semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('1.0.0')
        !format.dns1123Label().validate('abc').hasValue() && format.dns1123Label().validate('A_').hasValue()
        math.greatest(1, 3, 2) == 3 && math.least(self.ports) == 80
        base64.decode('aGk=') == b'hi' && base64.encode(b'hi') == 'aGk='
        [1, 2] + [3] == [1, 2, 3] && {'a': 1} == {'a': 1} && {'a': 1}.a == 1 && [] == []
        self.either == '5%' && (type(self.either) == string ? self.either.endsWith('%') : self.either > 0)
        // A side that decides makes up for the fault of the other.
        self.items[9].count > 0 || true
        true || self.items[9].count > 0
        !(self.items[9].count > 0 && false)
        self.items.exists(i, i.count / (i.count - 1) == 2)
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        assert_eq!(evaluated(line), Ok(Outcome::Bool(true)), "{line}");
    }
}

#[test]
fn expressions_that_are_refused() {
    let table = [
        ("self.nothing == 1", "undefined field 'nothing'"),
        ("has(self.nothing)", "undefined field 'nothing'"),
        ("other == 1", "undeclared reference to 'other' (in container '')"),
        ("nothing(1)", "undeclared reference to 'nothing' (in container '')"),
        ("self.name > 1", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.name + 1", "found no matching overload for '_+_' applied to '(string, int)'"),
        ("self.min.startsWith('a')", "found no matching overload for 'startsWith' applied to 'int.(string)'"),
        ("size(1)", "found no matching overload for 'size' applied to '(int)'"),
        ("self.name && true", "found no matching overload for '_&&_' applied to '(string, bool)'"),
        ("!self.name", "found no matching overload for '!_' applied to '(string)'"),
        ("self.min.foo == 1", "type 'int' does not support field selection"),
        (
            "self.all(x, true)",
            "expression of type 'object' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("self.ports.all(p, p)", "expected type 'bool' but found 'int'"),
        ("self.ports['a'] == 1", "found no matching overload for '_[_]' applied to '(list(int), string)'"),
        ("'a' in self.ports", "found no matching overload for '@in' applied to '(string, list(int))'"),
        ("self.name == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("Foo{a: 1}", "undeclared reference to 'Foo' (in container '')"),
    ];
    for (text, expected) in table {
        assert_eq!(compiled(text).unwrap_err(), CompileError::Types(expected.to_owned()), "{text}");
    }
    assert!(
        matches!(compiled("self.name.matches('(')").unwrap_err(), CompileError::Types(text) if text.contains("regexp"))
    );
}

#[test]
fn a_syntax_error_is_drawn() {
    let drawn = "compilation failed: ERROR: <input>:1:11: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', \
                 '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | \
                 self.foo >\n | ..........^";
    assert_eq!(compiled("self.foo >").unwrap_err().to_string(), drawn);
}

#[test]
fn faults_of_evaluations() {
    let table = [
        ("self.absent == 'a'", "no such key: absent"),
        ("self.items[2].count == 1", "index out of bounds: 2"),
        ("self.labels['x'] == 'y'", "no such key: x"),
        ("self.min / (self.min - 1) == 1", "division by zero"),
        ("self.min % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + self.min == 0", "integer overflow"),
        ("self.either > 5", "no such overload"),
        ("self.?absent.value() == 'a'", "optional.none() dereference"),
        ("self.items.all(i, i.count / (i.count - 1) == 2)", "division by zero"),
    ];
    for (text, expected) in table {
        assert_eq!(evaluated(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn a_text_may_be_the_result() {
    assert_eq!(evaluated("'is ' + string(self.min)"), Ok(Outcome::Text("is 1".to_owned())));
    assert_eq!(evaluated("self.min"), Ok(Outcome::Other));
}

#[test]
fn an_absent_value_is_null_or_an_empty_optional() {
    let of = Type::Int;
    let optional = Type::Optional(Arc::new(Type::Int));
    let variables = [("self", &of), ("oldSelf", &optional)];
    let expression = Expression::compile("!oldSelf.hasValue() || oldSelf.value() < self", &variables).unwrap();
    assert!(expression.reads(0) && expression.reads(1));
    let (one, two) = (json!(1), json!(2));
    let run = |old: Option<&Json>| {
        expression.evaluate(&[(Some(&two), &of), (old, &optional)], &mut Budget::default()).unwrap()
    };
    assert_eq!(run(None), Outcome::Bool(true));
    assert_eq!(run(Some(&one)), Outcome::Bool(true));
    assert_eq!(run(Some(&two)), Outcome::Bool(false));
    let alone = Expression::compile("self > 0", &variables).unwrap();
    assert!(!alone.reads(1));
}

#[test]
fn costs_follow_from_sizes() {
    let cost = |text: &str| compiled(text).unwrap().cost();
    assert_eq!(cost("true"), 0);
    // Two names, two members, and the comparison.
    assert_eq!(cost("self.min < self.max"), 5);
    // Of two branches one is evaluated, and whether something is there costs nothing.
    assert_eq!(cost("self.on ? self.min < 1 : self.min < self.max"), 2 + 5);
    assert_eq!(cost("has(self.name)"), 1);
    assert_eq!(cost("'app' in self.labels"), 3);
    let one = cost("self.items.all(i, i.count > 0)");
    let nested = cost("self.items.all(i, self.items.all(j, j.count > i.count))");
    assert!(nested > 4 * one, "{one} {nested}");
    let unbounded = Type::text(None);
    let matches = Expression::compile("self.matches('^a+$')", &[("self", &unbounded)]).unwrap();
    let bounded = Expression::compile("self.matches('^a+$')", &[("self", &Type::text(Some(10)))]).unwrap();
    assert!(matches.cost() > 10_000 * bounded.cost(), "{} {}", matches.cost(), bounded.cost());
    // The text of a number has no known size.
    assert!(cost("'is ' + string(self.min)") > 100 * crate::COST_MAX_ONE);
}

#[test]
fn an_evaluation_stops_at_its_budget() {
    let of = Type::list(Type::Int, None, 1);
    let many = Json::Array((0..3_000).map(Json::from).collect());
    let expression = Expression::compile("self.all(a, self.all(b, a + b >= 0))", &[("self", &of)]).unwrap();
    let mut budget = Budget::default();
    let mut runs = 0;
    while !budget.is_spent() {
        assert_eq!(expression.evaluate(&[(Some(&many), &of)], &mut budget), Err(Fault::Budget));
        runs += 1;
    }
    assert_eq!(runs, 10);
}

#[test]
fn asking_for_a_size_costs_nothing_of_what_is_in_the_list() {
    let of = Type::list(Type::text(None), None, 2);
    let long = Json::Array(vec![Json::from("a".repeat(10_000)); 200]);
    let expression = Expression::compile("self.all(i, self.size() == 200)", &[("self", &of)]).unwrap();
    let mut budget = Budget::default();
    assert_eq!(expression.evaluate(&[(Some(&long), &of)], &mut budget), Ok(Outcome::Bool(true)));
}

#[test]
fn every_row_of_the_table_is_understood() {
    let rows = crate::functions::rows();
    assert!(rows.len() > 150, "{}", rows.len());
    for (row, function) in rows {
        assert!(function.is_some(), "{row}");
    }
}

#[test]
fn results_are_bounded() {
    let of = Type::text(None);
    let long = Json::from("a".repeat(1 << 20));
    let table = [
        "self.replace('a', self).size() == 0",
        "[1,2,3,4,5,6,7,8].map(i, [1,2,3,4,5,6,7,8].map(j, self).join(self)).join(self).size() == 0",
        "'%s%s%s%s%s%s%s%s%s%s%s%s'.format([self, self, self, self, self, self, self, self, self, self, self, self]) == ''",
        "sets.contains([1,2,3,4,5,6,7,8].map(i, self), [1,2,3,4,5,6,7,8].map(i, self))",
        "self.split('').size() + self.split('').size() == 0",
        "self.findAll('').size() == 0",
        "[self].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a) == []",
    ];
    for text in table {
        let expression = Expression::compile(text, &[("self", &of)]).unwrap_or_else(|error| panic!("{text}: {error}"));
        let result = expression.evaluate(&[(Some(&long), &of)], &mut Budget::default());
        assert_eq!(result, Err(Fault::Budget), "{text}");
    }
}

#[test]
fn odd_arguments_of_functions_are_faults_at_worst() {
    let odd = [
        "quantity('1e999999999').sign() == 5",
        "quantity('99999999999999999999999999999999999999999Ei').asApproximateFloat() > 0.0",
        "'%.99999999f'.format([1.5]) == ''",
        "'%99999999d'.format([1]) == ''",
        "duration('99999999999999999999h') == duration('1s')",
        "timestamp('9999-12-31T23:59:59Z') + duration('9999h') == timestamp('2024-01-01T00:00:00Z')",
        "timestamp('x') == timestamp('y')",
        "int('99999999999999999999') == 1",
        "int(1e300) == 1",
        "'a'.substring(5) == ''",
        "'a'.charAt(-1) == ''",
        "cidr('10.0.0.0/99').prefixLength() == 1",
        "[1, 2].slice(5, 9) == []",
        "semver('a.b').major() == 1",
        "'ä'.substring(0, 1) == ''",
        "self.find('(') == ''",
    ];
    let of = Type::text(None);
    for text in odd {
        let expression = Expression::compile(text, &[("self", &of)]).unwrap_or_else(|error| panic!("{text}: {error}"));
        let result = expression.evaluate(&[(Some(&Json::from("a")), &of)], &mut Budget::default());
        assert!(!matches!(result, Ok(Outcome::Bool(true)) | Err(Fault::Budget)), "{text}: {result:?}");
    }
}

#[test]
fn too_long_and_too_deep_is_refused() {
    let long = format!("self.name == '{}'", "a".repeat(20_000));
    let deep = format!("{}1{} == 1", "(".repeat(3_000), ")".repeat(3_000));
    let wide = format!("0{} == 0", "+0".repeat(7_000));
    let dots = format!("self.labels{}", ".a".repeat(7_000));
    for text in [long, deep, wide, dots] {
        let error = compiled(&text).unwrap_err();
        assert!(matches!(error, CompileError::TooLarge(_) | CompileError::Syntax(_)), "{error}");
    }
}

#[test]
fn names_of_members() {
    let table = [
        ("name", Some("name")),
        ("a.b-c/d", Some("a__dot__b__dash__c__slash__d")),
        ("a__b", Some("a__underscores__b")),
        ("if", Some("__if__")),
        ("9a", None),
        ("", None),
        ("a b", None),
        ("ä", None),
    ];
    for (name, expected) in table {
        assert_eq!(escaped(name).as_deref(), expected, "{name}");
    }
}

#[test]
fn how_an_excess_is_said() {
    let said = |cost| excess("estimated rule cost", cost, 100);
    assert!(said(20_000).starts_with("estimated rule cost exceeds budget by factor of more than 100x (try"));
    assert!(said(250).contains("factor of 2.5x"));
    assert!(said(101).contains("factor of 1.010000x"));
}

/// Pieces of expressions, put together at random: some are expressions, most are not.
const PIECES: [&str; 34] = [
    "self",
    ".name",
    ".items",
    ".ports",
    ".labels",
    ".min",
    ".?absent",
    "[0]",
    "[?1]",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'a'",
    "1",
    "1.5",
    "2u",
    "b'x'",
    "null",
    "true",
    "==",
    "<",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "? 1 :",
    ".all(i, i > 0)",
    ".map(i, i)",
    ".size()",
];

proptest! {
    #[test]
    fn nothing_panics_and_results_have_the_type_that_was_checked(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..12),
    ) {
        let (json, of) = object();
        if let Ok(expression) = compiled(&pieces.concat())
            && let Ok(outcome) = expression.evaluate(&[(Some(&json), &of)], &mut Budget::default())
        {
            let is_right = match expression.of() {
                Type::Bool => matches!(outcome, Outcome::Bool(_)),
                Type::Text { .. } => matches!(outcome, Outcome::Text(_)),
                Type::Any => true,
                _ => outcome == Outcome::Other,
            };
            prop_assert!(is_right, "{:?} {:?}", expression.of(), outcome);
        }
    }
}
