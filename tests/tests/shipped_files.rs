//! Files that users copy must work as they stand.

use std::{fs, time::Duration};

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
