//! House rules that can be read off the text of the tree: the invariants of ARCHITECTURE.md, and what no lint
//! checks. Each test says the rule; a failure names file and line.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use headwater_protocol::api::SERVED;
use headwater_tests::harness::repository;

const PACKAGES: [&str; 5] = ["protocol", "storage", "capture", "broker", "tests"];

/// Longer than this is a sign that a file holds two concepts.
const LINES_MAX: usize = 600;

/// Files that may be longer, each with its reason. None so far.
const LONGER: [(&str, &str); 0] = [];

/// What each package may depend on of the others. All arrows point down.
const ARROWS: [(&str, &[&str]); 4] = [
    ("protocol", &[]),
    ("storage", &[]),
    ("capture", &["protocol"]),
    ("broker", &["protocol", "storage", "capture"]),
];

/// One file of the tree.
struct Source {
    /// From the top of the repository.
    path: String,
    text: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path
            .strip_prefix(repository())
            .expect("it lies in the repository");
        Self {
            path: path.to_str().expect("our names are ASCII").to_owned(),
            text,
        }
    }

    /// Lines of code with their numbers: no comments, nothing behind the tests' module.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = (1..).zip(self.text.lines());
        let ours = lines.take_while(|(_, line)| !line.starts_with("mod tests {"));
        ours.map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// Whether it is no part of what is shipped: tests, measurements.
    fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "examples"))
    }

    /// Where code has one of these words.
    fn places(&self, words: &[&str]) -> Vec<String> {
        let found = self
            .code()
            .filter(|(_, line)| words.iter().any(|word| has_word(line, word)));
        found
            .map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim()))
            .collect()
    }
}

/// Whether `word` stands in `line` and is not a part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let behind = line
            .get(at + word.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(inside) && !behind.is_some_and(inside)
    })
}

/// All files below `folder` with this ending, but not what cargo and others put there.
fn files(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path: PathBuf = entry.expect("a folder can be read").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() && !matches!(name, "target" | "corpus" | "artifacts" | "__pycache__") {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(Source::read(&path));
            }
        }
    }
    found.sort_by(|first, second| first.path.cmp(&second.path));
    found
}

fn rust_of(package: &str) -> Vec<Source> {
    files(package, ".rs")
}

/// What is shipped: the code of the four packages without their tests.
fn shipped() -> Vec<Source> {
    let packages = ARROWS.iter().flat_map(|(package, _)| rust_of(package));
    packages.filter(|source| !source.is_test()).collect()
}

fn manifest(package: &str) -> String {
    Source::read(&repository().join(package).join("Cargo.toml")).text
}

/// The names under `[dependencies]`, and under `[dev-dependencies]` if `also_for_tests`.
fn dependencies(package: &str, also_for_tests: bool) -> Vec<String> {
    let mut names = Vec::new();
    let mut counts = false;
    for line in manifest(package).lines() {
        if line.starts_with('[') {
            counts = line == "[dependencies]" || (also_for_tests && line == "[dev-dependencies]");
        } else if counts && let Some((name, _)) = line.split_once(['.', ' ', '=']) {
            names.push(name.to_owned());
        }
    }
    names
}

fn none(places: Vec<String>, rule: &str) {
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

#[test]
fn words_are_found_as_whole_names_in_code_only() {
    let text = "use sled::Db;\nlet tousled = 1; // sled\nlet sledge = 2;\nmod tests {\nuse sled;\n";
    let source = Source {
        path: "a.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(source.places(&["sled"]), ["a.rs:1: use sled::Db;"]);
}

#[test]
fn the_arrows_between_packages_point_down() {
    for (package, allowed) in ARROWS {
        let others = PACKAGES
            .iter()
            .filter(|other| !allowed.contains(other) && **other != package);
        for other in others {
            let name = if *other == "broker" {
                "headwater".to_owned()
            } else {
                format!("headwater-{other}")
            };
            let depends = dependencies(package, true).contains(&name);
            assert!(
                !depends,
                "{package}/Cargo.toml: {package} must not know {other}"
            );
            if *other == "broker" {
                continue;
            }
            let word = format!("headwater_{other}");
            let used = rust_of(package)
                .iter()
                .flat_map(|source| source.places(&[&word]))
                .collect();
            none(used, &format!("{package} must not know {other}"));
        }
    }
}

/// Log lines are filtered by the name of the crate that writes them.
const NAMES_SLED_IN_A_LOG_FILTER: &str = "broker/src/telemetry.rs";

#[test]
fn sled_is_named_in_storage_only() {
    for (package, _) in ARROWS.iter().filter(|(package, _)| *package != "storage") {
        assert!(
            !dependencies(package, true).contains(&"sled".to_owned()),
            "{package}/Cargo.toml"
        );
        let sources = rust_of(package).into_iter();
        let judged = sources.filter(|source| source.path != NAMES_SLED_IN_A_LOG_FILTER);
        let used = judged.flat_map(|source| source.places(&["sled"])).collect();
        none(used, "sled is named in storage only");
    }
}

#[test]
fn protocol_and_storage_are_free_of_tokio() {
    for package in ["protocol", "storage"] {
        assert!(
            !dependencies(package, true).contains(&"tokio".to_owned()),
            "{package}/Cargo.toml"
        );
        let used = rust_of(package)
            .iter()
            .flat_map(|source| source.places(&["tokio"]))
            .collect();
        none(used, "protocol and storage know no runtime");
    }
}

#[test]
fn protocol_does_no_input_or_output() {
    let shipped: Vec<Source> = rust_of("protocol")
        .into_iter()
        .filter(|source| !source.is_test())
        .collect();
    let used = shipped
        .iter()
        .flat_map(|source| source.places(&["std::fs", "std::net", "std::thread", "std::env"]));
    none(used.collect(), "protocol does no I/O");
}

#[test]
fn only_one_file_reads_the_clock() {
    let reads = [
        "Instant::now",
        "SystemTime::now",
        "Timestamp::now",
        "Zoned::now",
        "UNIX_EPOCH.elapsed",
    ];
    let elsewhere = shipped()
        .into_iter()
        .filter(|source| source.path != "broker/src/clock.rs");
    let found = elsewhere.flat_map(|source| source.places(&reads)).collect();
    none(
        found,
        "only broker/src/clock.rs reads the clock; time is an argument",
    );
}

#[test]
fn only_the_connection_writes_to_a_client_socket() {
    let writes = [
        "AsyncWriteExt",
        "try_write",
        "try_write_vectored",
        "poll_write",
        "write_vectored",
    ];
    let is_the_connection = |path: &str| {
        path == "broker/src/connection.rs" || path.starts_with("broker/src/connection/")
    };
    let broker = rust_of("broker")
        .into_iter()
        .filter(|source| !source.is_test());
    let elsewhere = broker.filter(|source| !is_the_connection(&source.path));
    let found = elsewhere
        .flat_map(|source| source.places(&writes))
        .collect();
    none(found, "only the connection writes to a client socket");
}

#[test]
fn every_api_has_a_file_whose_header_tells_the_versions_of_the_table() {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for row in &SERVED {
        let versions = format!(
            "{} (api key {}), v{}-v{}.",
            row.name, row.key, row.min, row.max
        );
        rows.insert(snake_case(row.name), versions);
    }
    let handlers = files("broker/src/api", ".rs").into_iter();
    let top = handlers.filter(|source| source.path.matches('/').count() == 3 && !source.is_test());
    for source in top {
        let name = source
            .path
            .trim_start_matches("broker/src/api/")
            .trim_end_matches(".rs")
            .to_owned();
        let expected = rows
            .remove(&name)
            .unwrap_or_else(|| panic!("{}: no such API is served", source.path));
        let header = source.text.lines().next().unwrap_or_default();
        let true_header = header.starts_with(&format!("//! {expected}"));
        assert!(
            true_header,
            "{} begins with {header:?}, not with {expected:?}",
            source.path
        );
        for section in ["//! Behaviour", "//! Versions"] {
            assert!(
                source.text.contains(section),
                "{} has no section {section}",
                source.path
            );
        }
    }
    // What has no handler is not listed.
    let listed = SERVED.iter();
    let bare: Vec<_> = listed
        .map(|row| snake_case(row.name))
        .filter(|name| rows.contains_key(name))
        .collect();
    assert!(bare.is_empty(), "no file for {bare:?}");
}

/// `ApiVersions` as `api_versions`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[test]
fn no_file_is_too_long() {
    for source in PACKAGES
        .iter()
        .flat_map(|package| rust_of(package))
        .chain(files("fuzz", ".rs"))
    {
        let excused = LONGER.iter().any(|(path, _)| *path == source.path);
        let lines = source.text.lines().count();
        assert!(
            lines <= LINES_MAX || excused,
            "{} has {lines} lines: split it by concept",
            source.path
        );
    }
}

#[test]
fn every_file_begins_with_what_it_is() {
    let tests = rust_of("tests");
    for source in shipped().iter().chain(&tests) {
        let documented = source.text.starts_with("//! ");
        assert!(
            documented,
            "{} does not begin with a module doc",
            source.path
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("unimple", "mented!"),
    ];
    let macros = [concat!("to", "do!"), concat!("db", "g!")];
    let rust = PACKAGES
        .iter()
        .flat_map(|package| rust_of(package))
        .chain(files("fuzz", ".rs"));
    let all = rust.chain(files("scripts", "")).chain(files("docs", ".md"));
    let mut found = Vec::new();
    for source in all {
        for (number, line) in (1..).zip(source.text.lines()) {
            if words
                .iter()
                .chain(&macros)
                .any(|word| has_word(line, word.trim_end_matches('!')) && line.contains(word))
            {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    none(found, "nothing is left for later: do it, or open an issue");
}

#[test]
fn no_file_is_named_for_a_thought_that_was_not_finished() {
    for source in PACKAGES.iter().flat_map(|package| rust_of(package)) {
        let stem = source
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        let vague = [
            "util", "utils", "helper", "helpers", "misc", "common", "manager", "mod",
        ]
        .contains(&stem);
        assert!(!vague, "{}: name it for what is in it", source.path);
    }
}

#[test]
fn every_package_takes_the_workspaces_lints() {
    for package in PACKAGES {
        assert!(
            manifest(package).contains("[lints]\nworkspace = true"),
            "{package}/Cargo.toml"
        );
    }
}

#[test]
fn every_fuzz_target_is_built_and_run_from_a_kept_corpus() {
    let manifest = manifest("fuzz");
    let test = Source::read(&repository().join("scripts/test")).text;
    assert!(
        test.contains("fuzz/fuzz_targets/*.rs"),
        "scripts/test goes through all of them"
    );
    let mut names = Vec::new();
    for source in files("fuzz/fuzz_targets", ".rs") {
        let file = source.path.rsplit('/').next().unwrap_or_default();
        let name = file.trim_end_matches(".rs").to_owned();
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{file}\"")),
            "fuzz/Cargo.toml lacks {name}"
        );
        let corpus = fs::read_dir(repository().join("fuzz/corpus").join(&name));
        assert!(
            corpus.is_ok_and(|mut seeds| seeds.next().is_some()),
            "fuzz/corpus/{name} is empty"
        );
        names.push(name);
    }
    for decoder in ["frame", "request", "sasl", "pgoutput", "journal"] {
        assert!(
            names.iter().any(|name| name.starts_with(decoder)),
            "no fuzz target for {decoder}"
        );
    }
}

#[test]
fn nothing_names_the_machine_that_it_was_written_on() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "hw"),
        concat!("/ro", "ot/"),
    ];
    let rust = PACKAGES.iter().flat_map(|package| rust_of(package));
    for source in rust.chain(files("scripts", "")).chain(files("docs", ".md")) {
        for word in words {
            assert!(!source.text.contains(word), "{} names {word}", source.path);
        }
    }
}
