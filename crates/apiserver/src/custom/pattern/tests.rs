use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    let translated = translate(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    check(&translated, pattern).unwrap_or_else(|error| panic!("{pattern}: {error}: {}", translated.text));
    Pattern::new(pattern).is_match(text)
}

/// Pattern, a text that it matches, a text that it does not match.
const TABLE: &[(&str, &str, &str)] = &[
    (r"^a{$", "a{", "a"),
    (r"^{x}$", "{x}", "x"),
    (r"^a{,5}$", "a{,5}", "aaa"),
    (r"^a{1,2,3}$", "a{1,2,3}", "a"),
    (r"^a{01}$", "a{01}", "a"),
    (r"^a{2,}$", "aaa", "a"),
    (r"^a{0,1000}$", "", "b"),
    (r"^[[]x$", "[x", "x"),
    (r"^[^[]+$", "ab", "a["),
    (r"^[]a]+$", "]a]", "b"),
    (r"^[^]a]+$", "bc", "]"),
    (r"^\Qa.b\E$", "a.b", "axb"),
    (r"^\Qa.b$", "a.b$", "a.b"),
    (r"^\Q(*\E+$", "(**", "("),
    (r"^[\w-.]+$", "a-b.c", "a b"),
    (r"^[a-]+$", "a-", "b"),
    (r"^[-a]+$", "-a", "b"),
    (r"^[a-z&&x]+$", "a&x", "A"),
    (r"^[a~~b]$", "~", "c"),
    (r"^[+--]$", ",", "."),
    (r"^\<a$", "<a", "a"),
    (r"^\d+$", "12", "٣٤"),
    (r"^\D+$", "٣٤", "1"),
    (r"^\w+$", "aZ_0", "é"),
    (r"^\W$", "é", "a"),
    (r"^\s$", " ", "\u{b}"),
    (r"^[\s]$", "\t", "\u{a0}"),
    (r"^[^\d]$", "a", "1"),
    (r"^[\D5]$", "5", "4"),
    (r"\bb", "a éb", "ab"),
    (r"a\B", "ab", "a"),
    (r"^[[:alpha:]]+$", "ab", "1"),
    (r"^[[:^alpha:]_]+$", "1_", "a"),
    (r"^[\p{L}\p{N}_]+$", "é1_", "-"),
    (r"^\pL$", "é", "1"),
    (r"^\p{^Greek}$", "a", "α"),
    (r"^\P{Greek}$", "a", "α"),
    (r"(?i)^abc$", "ABC", "x"),
    (r"^(?i:a)b$", "Ab", "AB"),
    (r"(?s)^a.b$", "a\nb", "ab"),
    (r"^a.b$", "axb", "a\nb"),
    (r"(?m)^b$", "a\nb", "ab"),
    (r"^(?i-s:A)$", "a", "b"),
    (r"^(?:a|b)+?$", "ab", "c"),
    (r"^(?P<n>a)(?<m>b)$", "ab", "a"),
    (r"^\x41\x{42}\101\_\-\/$", "ABA_-/", "a"),
    (r"^a b#c$", "a b#c", "abc"),
    (r"^\.\*\+\?\(\)\[\]\{\}\|\\\^\$$", r".*+?()[]{}|\^$", "a"),
    (r"^.{1,1000}$", "aé", ""),
    (r"^(a|b|){2}$", "a", "c"),
    ("^\u{e9}+$", "éé", "e"),
    (r"^[a-zA-Z0-9\-_]{1,256}$", "a-_", "a."),
    (r"^[^\x00-\x{10FFFF}]?$", "", "a"),
    (r"\Aa\z", "a", "a\n"),
];

#[test]
fn patterns_mean_what_they_mean_in_go() {
    for (pattern, good, bad) in TABLE {
        assert!(matches(pattern, good), "{pattern} matches {good:?}");
        assert!(!matches(pattern, bad), "{pattern} does not match {bad:?}");
    }
}

#[test]
fn what_go_refuses_is_refused_in_its_words() {
    let cases = [
        ("(", "missing closing ): `(`"),
        ("a)b", "unexpected ): `a)b`"),
        ("[a", "missing closing ]: `[a`"),
        ("[]", "missing closing ]: `[]`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("(+)", "missing argument to repetition operator: `+`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a+{2}", "invalid nested repetition operator: `+{2}`"),
        ("^(a|b){1001}$", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("(x{0,1000}){2}", "invalid repeat count: `{2}`"),
        ("(?=a)b", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?x) a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?<n-m>a)", "invalid named capture: `(?<n-m>`"),
        (r"^\C$", r"invalid escape sequence: `\C`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\", "trailing backslash at end of expression: ``"),
        (r"[z-a]", "invalid character class range: `z-a`"),
        (r"[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
    ];
    for (pattern, why) in cases {
        let error = translate(pattern).expect_err(pattern);
        assert_eq!(error.to_string(), format!("error parsing regexp: {why}"));
    }
}

#[test]
fn what_is_compiled_is_bounded_by_its_states() {
    let states = |pattern: &str| translate(pattern).unwrap().states;
    assert!(states(r"^\w{20}$") < 100);
    assert!(states(r"^(\p{L}{1,1000}){1,1}$") > STATES_MAX);
    assert!(states("((a{10}){10}){10}") > 1_000);
    let deep = "(".repeat(1_000) + &")".repeat(1_000);
    assert!(translate(&deep).unwrap_err().to_string().contains("nests too deeply"));
    let long = format!("^({})$", "a|".repeat(50_000));
    assert!(check(&translate(&long).unwrap(), &long).is_ok(), "as long as states are not too many");
}

#[test]
fn nothing_that_is_written_breaks_the_translation() {
    use proptest::prelude::*;
    let texts = proptest::collection::vec(
        prop_oneof![
            Just("(".to_owned()),
            Just(")".to_owned()),
            Just("[".to_owned()),
            Just("]".to_owned()),
            Just("{2}".to_owned()),
            Just("(?i".to_owned()),
            Just("\\".to_owned()),
            Just("[:alpha:]".to_owned()),
            Just("\\p{L}".to_owned()),
            "[a-z&~^$.|*+?,:=<>é -]{0,2}",
        ],
        0..12,
    );
    proptest!(|(parts in texts)| {
        let pattern = parts.concat();
        if let Ok(translated) = translate(&pattern) {
            prop_assert!(check(&translated, &pattern).is_ok(), "{} as {}", pattern, translated.text);
        }
    });
}
