//! Files that users copy must work as they stand.

use std::{fs, path::Path, time::Duration};

use headwater_tests::harness::{Headwater, repository};

fn is_a_valid_configuration(text: &str, what: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("headwater.toml");
    fs::write(&file, text).expect("it is ours");
    let path = file.to_str().expect("temporary paths are UTF-8");
    let mut headwater = Headwater::spawn_arguments(&["check", "config", path]);
    let status = headwater.wait(Duration::from_secs(10));
    assert!(status.success(), "{what}: {status}\n{}", headwater.log());
}

fn text_of(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect("it is in the repository")
}

#[test]
fn the_configuration_of_the_compose_file_is_valid() {
    is_a_valid_configuration(&text_of("docker/headwater.toml"), "docker/headwater.toml");
}

#[test]
fn every_example_in_the_configuration_manual_is_valid() {
    let manual = text_of("docs/configuration.md");
    let examples = manual
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let count = examples
        .inspect(|text| is_a_valid_configuration(text, "docs/configuration.md"))
        .count();
    assert!(count > 0, "the manual has an example");
}

/// Each test that `docs/dts/contract.md` names, in backquotes, is there.
#[test]
fn the_contract_of_dts_names_tests_that_exist() {
    let page = text_of("docs/dts/contract.md");
    let mut sources = String::new();
    for folder in ["tests/tests", "broker", "capture"] {
        read_sources(&repository().join(folder), &mut sources);
    }
    let named = page.split('`').skip(1).step_by(2);
    let tests: Vec<&str> = named.filter(|name| is_test_name(name)).collect();
    assert!(tests.len() > 50, "{tests:?}");
    for test in tests {
        let header = format!("fn {test}(");
        assert!(sources.contains(&header), "there is no test {test}");
    }
}

fn is_test_name(text: &str) -> bool {
    let of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.matches('_').count() >= 2 && text.chars().all(of_a_name)
}

fn read_sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("it is in the repository") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() {
            read_sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *into += &fs::read_to_string(&path).expect("UTF-8");
        }
    }
}
