//! Printing quantities in canonical form.

use std::fmt;

use super::{Format, NANO};

const DECIMAL_SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

pub(super) fn write(f: &mut fmt::Formatter<'_>, nanos: i128, format: Format) -> fmt::Result {
    if nanos == 0 {
        return f.write_str("0");
    }
    match format {
        Format::BinarySi if has_binary_form(nanos) => write_binary(f, nanos / NANO),
        Format::BinarySi | Format::DecimalSi => write_decimal(f, nanos, false),
        Format::DecimalExponent => write_decimal(f, nanos, true),
    }
}

/// Binary suffixes are for whole numbers of 1024 and more; anything else keeps its precision in
/// decimal.
fn has_binary_form(nanos: i128) -> bool {
    nanos % NANO == 0 && (nanos / NANO).abs() >= 1024
}

fn write_binary(f: &mut fmt::Formatter<'_>, mut units: i128) -> fmt::Result {
    let mut power = 0;
    while units % 1024 == 0 && power + 1 < BINARY_SUFFIXES.len() {
        units /= 1024;
        power += 1;
    }
    write!(f, "{units}{}", BINARY_SUFFIXES[power])
}

fn write_decimal(f: &mut fmt::Formatter<'_>, mut nanos: i128, exponent_form: bool) -> fmt::Result {
    let mut thousands = 0;
    while nanos % 1000 == 0 {
        nanos /= 1000;
        thousands += 1;
    }
    let exponent = thousands as i32 * 3 - 9;
    match DECIMAL_SUFFIXES.get(thousands) {
        Some(suffix) if !exponent_form => write!(f, "{nanos}{suffix}"),
        _ if exponent == 0 => write!(f, "{nanos}"),
        // There is no suffix beyond E.
        _ => write!(f, "{nanos}e{exponent}"),
    }
}
