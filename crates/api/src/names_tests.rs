use super::*;

type Check = fn(&str) -> Vec<String>;

fn long(bytes: usize) -> String {
    "a".repeat(bytes)
}

#[test]
fn accepted() {
    let a63 = long(63);
    let sub253 = [long(63), long(63), long(63), long(61)].join(".");
    let cases: Vec<(&str, Check, Vec<&str>)> = vec![
        ("label", dns1123_label, vec!["a", "0", "a-b", "a1-2b", &a63]),
        ("subdomain", dns1123_subdomain, vec!["a", "a.b", "0.1-2.c", &sub253]),
        ("dns1035", dns1035_label, vec!["a", "a-1", &a63]),
        ("wildcard", wildcard_dns1123_subdomain, vec!["*.a", "*.a.b-c"]),
        ("qualified", qualified_name, vec!["a", "A_b.C-9", "example.com/MyName", "1/2", &a63]),
        ("value", label_value, vec!["", "a", "A_b.C-9", &a63]),
        ("c", c_identifier, vec!["_", "a", "A1_"]),
        ("env", env_var_name, vec!["A", "my.env-name", "1a", "a b", "!?"]),
        ("key", config_map_key, vec!["a", "a..b", ".a", "-", "_K.1"]),
        ("port", port_name, vec!["http", "a", "1a", "a-b-c", "abcdefghijklmno"]),
        ("percent", percent, vec!["0%", "100%", "007%"]),
        ("header", http_header_name, vec!["X-Header-Name", "a", "-"]),
        ("local", local_descending_path, vec!["", "a/b", "a..b", "..."]),
        ("absolute", absolute_path, vec!["/", "/a"]),
    ];
    for (name, check, values) in cases {
        for value in values {
            assert_eq!(check(value), Vec::<String>::new(), "{name} {value:?}");
        }
    }
}

#[test]
fn refused() {
    let a64 = long(64);
    let cases: Vec<(&str, Check, Vec<&str>)> = vec![
        ("label", dns1123_label, vec!["", "-a", "a-", "A", "a_b", "a.b", "ä", &a64]),
        ("subdomain", dns1123_subdomain, vec!["", ".", "a.", ".a", "a..b", "A.b", "a/b"]),
        ("dns1035", dns1035_label, vec!["", "1a", "-a", "a-", "A"]),
        ("wildcard", wildcard_dns1123_subdomain, vec!["*", "*.", "a.b", "*.*.a", "f*.a"]),
        ("qualified", qualified_name, vec!["", "/", "a/", "/a", "a/b/c", "-a", "a b", "A.com/x", &a64]),
        ("value", label_value, vec!["-", "a b", "a/b", "_a", "ü", &a64]),
        ("c", c_identifier, vec!["", "1", "a-b", "ä"]),
        ("env", env_var_name, vec!["", "a=b", "ä", "a\tb", "\u{7f}"]),
        ("key", config_map_key, vec!["", ".", "..", "..a", "a/b", "ä"]),
        ("port", port_name, vec!["", "1", "-a", "a-", "a--b", "A", "abcdefghijklmnop"]),
        ("percent", percent, vec!["", "%", "1", "-1%", "1.5%", "1%%", " 1%"]),
        ("header", http_header_name, vec!["", "a b", "a:b", "ä"]),
        ("local", local_descending_path, vec!["/a", "..", "a/../b", "../a", "a/.."]),
        ("absolute", absolute_path, vec!["", "a", "./a"]),
    ];
    for (name, check, values) in cases {
        for value in values {
            assert!(!check(value).is_empty(), "{name} {value:?}");
        }
    }
}

#[test]
fn exact_texts() {
    // DS-A20, DS-A31
    let cases: Vec<(Vec<String>, &str)> = vec![
        (
            dns1123_label("A"),
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
             and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            dns1123_subdomain("A"),
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            qualified_name("-a"),
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
             '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
        (
            label_value("a b"),
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
             for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        (
            percent("5"),
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
             used for validation is '[0-9]+%')",
        ),
        (port_number(0), "must be between 1 and 65535, inclusive"),
        (unix_id(-1), "must be between 0 and 2147483647, inclusive"),
        (config_map_key("..x"), "must not start with '..'"),
        (no_back_steps("a/../b"), "must not contain '..'"),
        (label_value(&long(64)), "must be no more than 63 bytes"),
        (qualified_name(&long(64)), "name part must be no more than 63 bytes"),
    ];
    for (errors, text) in cases {
        assert_eq!(errors, vec![text.to_owned()]);
    }
}

#[test]
fn qualified_names_complain_about_every_part() {
    let errors = qualified_name("/");
    assert_eq!(errors[0], "prefix part must be non-empty");
    assert_eq!(errors[1], "name part must be non-empty");
    assert!(errors[2].starts_with("name part must consist of"));
    let errors = qualified_name("a/b/c");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("a qualified name must consist of"));
    assert!(errors[0].ends_with("with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"));
}

#[test]
fn port_names_collect_complaints() {
    assert_eq!(port_name("").len(), 2);
    assert_eq!(port_name("--").len(), 3);
}

#[test]
fn generate_names_lose_their_dash_before_the_check() {
    assert_eq!(masked_generate_name("web-"), "weba"); // DS-A20
    assert_eq!(masked_generate_name("-"), "-");
    assert_eq!(masked_generate_name("web"), "web");
}
