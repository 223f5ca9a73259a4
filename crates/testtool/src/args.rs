//! Arguments: `--name value`, `--name=value`, `-k value`, and the words that remain.

/// A command's arguments. An option is taken with its value; `--stderr` and other flags have none.
#[derive(Clone)]
pub(crate) struct Args {
    options: Vec<(String, String)>,
    words: Vec<String>,
}

/// Options without a value. Everything else that starts with a dash takes the next word.
const FLAGS: &[&str] = &["stderr", "once", "pk"];

impl Args {
    pub(crate) fn parse(input: Vec<String>) -> Args {
        let mut parsed = Args { options: Vec::new(), words: Vec::new() };
        let mut input = input.into_iter();
        while let Some(word) = input.next() {
            let name = word.trim_start_matches('-');
            if name == word || name.is_empty() {
                parsed.words.push(word);
            } else if let Some((name, value)) = name.split_once('=') {
                parsed.options.push((name.to_owned(), value.to_owned()));
            } else if FLAGS.contains(&name) {
                parsed.options.push((name.to_owned(), String::new()));
            } else {
                parsed.options.push((name.to_owned(), input.next().unwrap_or_default()));
            }
        }
        parsed
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    pub(crate) fn word(&self, index: usize, what: &str) -> Result<&str, String> {
        self.words.get(index).map(String::as_str).ok_or_else(|| format!("{what} is missing"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn get_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.get(name).unwrap_or(default)
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("--{name} is missing"))
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        self.get(name).map_or(Ok(default), |text| number(text, &format!("--{name}")))
    }
}

pub(crate) fn number(text: &str, what: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{what}: {text:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::Args;

    #[test]
    fn both_spellings_flags_and_words() {
        let words = ["a", "--port=80", "--once", "-k", "https://x", "b", "--n", "5"];
        let args = Args::parse(words.map(String::from).to_vec());
        assert_eq!(args.words(), ["a", "b"]);
        assert_eq!(args.get("port"), Some("80"));
        assert_eq!(args.get("k"), Some("https://x"));
        assert!(args.has("once"));
        assert_eq!(args.number("n", 0), Ok(5));
        assert!(args.number("k", 0).is_err());
        assert!(args.required("absent").is_err());
    }
}
