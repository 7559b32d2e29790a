//! The corpus of each target is handled, without a fuzzer.

use std::{fs, path::Path};

use pipewatch_fuzz::Target;

#[test]
fn nothing_in_the_corpus_does_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in Target::ALL {
        let folder = corpus.join(target.name);
        let entries = fs::read_dir(&folder).expect("a corpus of each target");
        let files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            // Shown if it fails.
            println!("{}", file.display());
            (target.run)(&fs::read(&file).expect("a file that can be read"));
        }
    }
}
