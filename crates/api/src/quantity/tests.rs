use super::*;
use proptest::prelude::*;

fn q(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn canonical_forms() {
    // (written, printed)
    let cases = [
        ("0", "0"),
        ("00", "0"),
        ("-0", "0"),
        ("0n", "0"),
        ("0Gi", "0"),
        ("0.0", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("-1", "-1"),
        ("01", "1"),
        ("1.", "1"),
        (".5", "500m"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("-1.5", "-1500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1000k", "1M"),
        ("1500k", "1500k"),
        ("10000", "10k"),
        ("1000000000", "1G"),
        ("1E", "1E"),
        ("1000P", "1E"),
        ("1000E", "1e21"),
        ("1.2345", "1234500u"),
        ("1u", "1u"),
        ("1n", "1n"),
        ("1000n", "1u"),
        ("0.9n", "1n"),
        ("-0.9n", "-1n"),
        ("0.0000000001", "1n"),
        ("1.0000000001", "1000000001n"),
        ("512Mi", "512Mi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("1Gi", "1Gi"),
        ("1024Mi", "1Gi"),
        ("1024Gi", "1Ti"),
        ("1025Ki", "1025Ki"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        ("-1Gi", "-1Gi"),
        ("0.0001Ki", "102400u"),
        ("1Ei", "1Ei"),
        ("8Ei", "9223372036854775807"),
        ("-8Ei", "-9223372036854775807"),
        ("9223372036854775807Ei", "9223372036854775807"),
        ("-99999999999999999999.5Ei", "-9223372036854775807"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("100e3", "100e3"),
        ("1000e3", "1e6"),
        ("1e0", "1"),
        ("1e1", "10"),
        ("12e6", "12e6"),
        ("1.5e3", "1500"),
        ("1e-3", "1e-3"),
        ("15e-1", "1500e-3"),
        ("1e-10", "1e-9"),
        ("18446744073709551616", "18446744073709551616"),
        ("100000000000000000000", "100E"),
        ("2Pi", "2Pi"),
        ("3.1Ti", "3408486046105600m"),
    ];
    for (written, printed) in cases {
        assert_eq!(q(written).to_string(), printed, "{written}");
        assert_eq!(q(printed), q(written), "{written} by value");
        assert_eq!(q(printed).to_string(), printed, "{printed} is stable");
    }
}

#[test]
fn what_the_server_gives_back() {
    // DS-A15: texts that Kubernetes' scanner keeps though its printer would not make them.
    let kept = ["+1", "01", "1.", "1.500", "1E3", "1e0", "1500Mi", "+1Gi", "0"];
    for text in kept {
        assert_eq!(canonical_text(text).unwrap(), text);
    }
    let rewritten = [
        ("0.5Gi", "512Mi"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("0.100", "100m"),
        ("1.0", "1"),
        ("+1Pi", "1Pi"),
        ("+1000", "1k"),
        ("1.5", "1500m"),
        (" 1 ", "1"),
        ("+1000000000000000001", "1000000000000000001"),
        ("00", "0"),
    ];
    for (written, printed) in rewritten {
        assert_eq!(canonical_text(written).unwrap(), printed, "{written}");
    }
}

#[test]
fn refused() {
    use QuantityError::{Format as Form, Suffix};
    let cases = [
        ("", Form),
        (" 1", Form),
        ("1 ", Form),
        ("abc", Form),
        ("1..2", Form),
        ("1,5", Form),
        ("--1", Suffix),
        ("1x", Form),
        ("1Gib", Form),
        ("1 Gi", Form),
        ("ä", Form),
        ("1e+", Suffix),
        ("1e", Suffix),
        ("200i", Suffix),
        ("1ki", Suffix),
        ("1K", Suffix),
        ("1mm", Suffix),
        ("1GG", Suffix),
        ("1m5", Suffix),
    ];
    for (text, error) in cases {
        assert_eq!(Quantity::parse(text), Err(error), "{text}");
        assert!(canonical_text("1GG").is_err());
    }
    assert_eq!(Quantity::parse(&"9".repeat(5000)), Err(Form));
}

#[test]
fn rounding_is_away_from_zero() {
    // (written, whole units, thousandths)
    let cases = [
        ("0", 0, 0),
        ("1", 1, 1000),
        ("1m", 1, 1),
        ("999m", 1, 999),
        ("1001m", 2, 1001),
        ("1n", 1, 1),
        ("-1n", -1, -1),
        ("-1500m", -2, -1500),
        ("1100u", 1, 2),
        ("0.5Gi", 536_870_912, 536_870_912_000),
        ("9E", 9_000_000_000_000_000_000, i64::MAX),
        ("10E", i64::MAX, i64::MAX),
        ("-10E", i64::MIN, i64::MIN),
    ];
    for (text, units, millis) in cases {
        assert_eq!((q(text).value(), q(text).milli_value()), (units, millis), "{text}");
    }
}

#[test]
fn compares_by_value() {
    // DS-A15
    assert_eq!(q("1"), q("1000m"));
    assert_eq!(q("1Gi"), q("1073741824"));
    assert!(q("1G") < q("1Gi"));
    assert!(q("-1") < q("0"));
    assert!(q("1e100") > q("1E"), "saturated, not wrapped");
}

#[test]
fn arithmetic_keeps_the_format_unless_zero() {
    let cases = [
        ("1Gi", "1Gi", "2Gi", "0"),
        ("1Gi", "1G", "2073741824", "73741824"),
        ("0", "1Gi", "1Gi", "-1Gi"),
        ("100m", "1", "1100m", "-900m"),
        ("1e3", "1k", "2e3", "0"),
        ("1Ki", "0.5", "1024500m", "1023500m"),
    ];
    for (a, b, sum, difference) in cases {
        assert_eq!(q(a).saturating_add(q(b)).to_string(), sum, "{a} + {b}");
        assert_eq!(q(a).saturating_sub(q(b)).to_string(), difference, "{a} - {b}");
    }
    let huge = q("1e100");
    assert_eq!(huge.saturating_add(huge), huge);
}

#[test]
fn json() {
    let cases = [
        (r#""0.5Gi""#, "512Mi"),
        ("1", "1"),
        ("0.5", "500m"),
        ("1000", "1k"),
        ("-2", "-2"),
        ("null", "0"),
        (r#"" 1 ""#, "1"),
    ];
    for (json, printed) in cases {
        let quantity: Quantity = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&quantity).unwrap(), format!("\"{printed}\""), "{json}");
    }
    for json in ["true", "[]", "{}", r#""""#, r#""x""#] {
        assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
    }
}

proptest! {
    #[test]
    fn reads_back_what_it_prints(nanos in -(1_i128 << 100)..(1_i128 << 100), format in 0..2) {
        let format = [Format::DecimalSi, Format::DecimalExponent][format as usize];
        let quantity = Quantity { nanos, format };
        prop_assert_eq!(q(&quantity.to_string()), quantity);
    }

    #[test]
    fn reads_back_binary_amounts(units in -i64::MAX..i64::MAX, power in 0..6u32) {
        let quantity = Quantity::from_units(units >> (10 * power) << (10 * power), Format::BinarySi);
        prop_assert_eq!(q(&quantity.to_string()), quantity);
    }

    #[test]
    fn binary_fractions_are_rounded_up_to_the_next_nano(digits in "[0-9]{1,17}", power in 1..5u32) {
        let text = format!("0.{digits}{}", ["", "Ki", "Mi", "Gi", "Ti"][power as usize]);
        let numerator = digits.parse::<i128>().unwrap() * (1 << (10 * power)) * NANO;
        let denominator = 10_i128.pow(digits.len() as u32);
        let exact = numerator / denominator + i128::from(numerator % denominator != 0);
        prop_assert_eq!(q(&text).nanos, exact);
    }

    #[test]
    fn never_panics(text in "[-+.0-9eEinumkKMGTP]{0,40}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let _ = (quantity.to_string(), quantity.value(), quantity.milli_value());
            prop_assert!(canonical_text(&text).is_ok());
        }
    }
}
