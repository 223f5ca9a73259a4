//! Reading quantities: `[sign] digits [. digits] [suffix]`, with the leniencies of Kubernetes'
//! scanner (`1.`, `.5`, `+1`, a bare sign or point as zero).

use super::{Format, NANO, Quantity, QuantityError};

/// The value of a power of ten or two times the number before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Ten(i32),
    Two(u32),
}

/// A scanned quantity text.
struct Scanned<'a> {
    negative: bool,
    /// Without leading zeros; at least `0`.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

/// Largest exponent worth distinguishing: everything beyond saturates or vanishes.
const EXPONENT_MAX: i32 = 1000;
/// Longest text read. Kubernetes has no limit; nothing that fits an i128 of nano-units needs more.
const TEXT_BYTES_MAX: usize = 1024;
/// Decimal digits that Kubernetes' fast path takes.
const FAST_DIGITS_MAX: usize = 18;

pub(super) fn quantity(text: &str) -> Result<Quantity, QuantityError> {
    let scanned = scan(text)?;
    let (scale, format) = suffix(scanned.suffix)?;
    Ok(make(&scanned, scale, format))
}

/// The text that Kubernetes gives back for `text` after reading and writing it once: nearly always
/// the canonical form, but a short text that looks canonical to its scanner is kept as written
/// (`+1`, `1.500`, `1E3`).
pub fn canonical_text(text: &str) -> Result<String, QuantityError> {
    let text = text.trim();
    let scanned = scan(text)?;
    let (scale, format) = suffix(scanned.suffix)?;
    match text == "0" || is_kept(&scanned, scale, format) {
        true => Ok(text.to_owned()),
        false => Ok(make(&scanned, scale, format).to_string()),
    }
}

fn scan(text: &str) -> Result<Scanned<'_>, QuantityError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(QuantityError::Format);
    }
    let negative = text.starts_with('-');
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start_matches('0');
    let (whole, rest) = split_digits(rest);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    check_suffix_characters(suffix)?;
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(Scanned { negative, whole, fraction, suffix })
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn check_suffix_characters(suffix: &str) -> Result<(), QuantityError> {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    match rest.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => Err(QuantityError::Format),
    }
}

fn suffix(text: &str) -> Result<(Scale, Format), QuantityError> {
    let ten = |exponent| Ok((Scale::Ten(exponent), Format::DecimalSi));
    let two = |exponent| Ok((Scale::Two(exponent), Format::BinarySi));
    match text {
        "n" => ten(-9),
        "u" => ten(-6),
        "m" => ten(-3),
        "" => ten(0),
        "k" => ten(3),
        "M" => ten(6),
        "G" => ten(9),
        "T" => ten(12),
        "P" => ten(15),
        "E" => ten(18),
        "Ki" => two(10),
        "Mi" => two(20),
        "Gi" => two(30),
        "Ti" => two(40),
        "Pi" => two(50),
        "Ei" => two(60),
        _ => exponent(text).map(|exponent| (Scale::Ten(exponent), Format::DecimalExponent)),
    }
}

fn exponent(text: &str) -> Result<i32, QuantityError> {
    let digits = text.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let exponent: i64 = digits.parse().map_err(|_| QuantityError::Suffix)?;
    Ok(exponent.clamp(-i64::from(EXPONENT_MAX), i64::from(EXPONENT_MAX)) as i32)
}

fn make(scanned: &Scanned<'_>, scale: Scale, format: Format) -> Quantity {
    let magnitude = match scale {
        Scale::Ten(exponent) => decimal_nanos(scanned, exponent),
        Scale::Two(exponent) => binary_nanos(scanned, exponent),
    };
    // Less than one unit has no binary suffix.
    let format = match format {
        Format::BinarySi if magnitude < NANO && magnitude != 0 => Format::DecimalSi,
        other => other,
    };
    Quantity { nanos: if scanned.negative { -magnitude } else { magnitude }, format }
}

/// The digits of the number before and after its point, as numbers 0 to 9.
fn digits<'a>(scanned: &Scanned<'a>) -> impl Iterator<Item = i128> + 'a {
    scanned.whole.bytes().chain(scanned.fraction.bytes()).map(|digit| i128::from(digit - b'0'))
}

/// number · 10^exponent in nano-units, rounded up, saturating.
fn decimal_nanos(scanned: &Scanned<'_>, exponent: i32) -> i128 {
    let fraction_digits = scanned.fraction.len() as i32;
    // Decimal places by which the digit string, read as an integer, must be shifted left.
    let mut shift = exponent + 9 - fraction_digits;
    let total = scanned.whole.len() + scanned.fraction.len();
    let dropped = shift.min(0).unsigned_abs() as usize;
    let kept = total.saturating_sub(dropped);
    let mut nanos: i128 = 0;
    let mut inexact = false;
    for (position, digit) in digits(scanned).enumerate() {
        match position < kept {
            true => nanos = nanos.saturating_mul(10).saturating_add(digit),
            false => inexact |= digit != 0,
        }
    }
    while shift > 0 && nanos != 0 && nanos != i128::MAX {
        nanos = nanos.saturating_mul(10);
        shift -= 1;
    }
    nanos.saturating_add(inexact.into())
}

/// number · 2^exponent in nano-units, rounded up, capped at 2^63 − 1 units.
fn binary_nanos(scanned: &Scanned<'_>, exponent: u32) -> i128 {
    const CAP: i128 = i64::MAX as i128;
    let factor = 1_i128 << exponent;
    let mut whole: i128 = 0;
    for digit in scanned.whole.bytes() {
        whole = (whole * 10 + i128::from(digit - b'0')).min(CAP);
    }
    // What is beyond the cap is so by far: it does not matter that the product stops at the type's
    // largest number.
    let nanos = whole.saturating_mul(factor).saturating_mul(NANO);
    nanos.saturating_add(binary_fraction_nanos(scanned.fraction, factor)).min(CAP * NANO)
}

/// 0.fraction · factor in nano-units, rounded up. Going from the last digit to the first and
/// rounding up at every step gives the exact result: ⌈(n + x) / 10⌉ = ⌈(n + ⌈x⌉) / 10⌉ for integer
/// n.
fn binary_fraction_nanos(fraction: &str, factor: i128) -> i128 {
    let step = |behind: i128, digit: u8| (i128::from(digit - b'0') * factor * NANO + behind + 9) / 10;
    fraction.bytes().rev().fold(0, step)
}

/// Whether Kubernetes' scanner takes its fast path and then keeps the text as it stands.
fn is_kept(scanned: &Scanned<'_>, scale: Scale, format: Format) -> bool {
    let (whole, fraction) = (scanned.whole.len(), scanned.fraction.len());
    match (scale, format) {
        (Scale::Two(exponent), _) => {
            let room = 14_i32 - whole as i32 - (exponent * 3 / 10) as i32;
            fraction == 0 && room >= 0 && scanned.whole.parse::<u64>().is_ok_and(|value| value & 7 != 0)
        }
        (Scale::Ten(exponent), _) => {
            let places = exponent - fraction as i32;
            let fast = whole + fraction <= FAST_DIGITS_MAX && places >= -9;
            let ends_in_thousand = match scanned.fraction {
                "" => scanned.whole.ends_with("000"),
                fraction if fraction.len() >= 3 => fraction.ends_with("000"),
                fraction => format!("{}{fraction}", scanned.whole).ends_with("000"),
            };
            fast && places % 3 == 0 && !ends_in_thousand && !scanned.whole.starts_with('0')
        }
    }
}
