//! The fuzz target `request` begins with a sample of every API and version.
//!
//! After a change of the table: `HEADWATER_WRITE_SEEDS=1 cargo test -p headwater-protocol seeds`.

use std::{fs, path::Path};

use crate::samples::{decoded_versions, frame, sample};

#[test]
fn every_api_and_version_has_its_sample_among_the_seeds_of_the_fuzzer() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/request");
    let writes = std::env::var_os("HEADWATER_WRITE_SEEDS").is_some();
    for (api, version) in decoded_versions() {
        let seed = corpus.join(format!("{}-{version}", api.name()));
        let frame = frame(api, version, &sample(api, version));
        if writes {
            fs::write(&seed, &frame).unwrap();
        }
        let found = fs::read(&seed).ok();
        assert_eq!(found.as_deref(), Some(&frame[..]), "{}", seed.display());
    }
}
