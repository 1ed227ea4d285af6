//! Every check over its seeds, and over what a fuzzer found with them once.

use std::fs;
use std::path::Path;

fn check(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut seeds: Vec<_> =
        fs::read_dir(&folder).expect("seeds").map(|entry| entry.expect("a seed").path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    for path in seeds {
        let seed = fs::read(&path).expect("a seed");
        run(&seed);
        // Half a seed, and one with a byte too many, are what a file is that was cut or mended by hand.
        run(&seed[..seed.len() / 2]);
        run(&[seed.as_slice(), b"]"].concat());
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), crate::$name);
        })*

        #[test]
        fn every_target_is_here() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
            assert_eq!(fs::read_dir(folder).expect("targets").count(), [$(stringify!($name)),*].len());
        }
    };
}

targets!(data_rows dspy_program journal reply run_directory signature task_file);
