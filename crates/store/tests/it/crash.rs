//! Processes killed at random moments, and what is left.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead as _;
use std::time::Duration;

use promptopt_store::{Redactor, RunDirectory, StoreError};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::child::{REQUESTS, start};
use crate::support::{answer, block_on, key, request};

/// Lives of a run before it may end in peace; an environment variable asks for more.
fn kills() -> usize {
    std::env::var("PROMPTOPT_STORE_TEST_KILLS").map_or(24, |kills| kills.parse().unwrap())
}

#[test]
fn a_run_killed_again_and_again_loses_nothing_and_pays_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    let kills = kills();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(kills as u64);
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    let mut interrupted = 0;
    for life in 0.. {
        let last = life >= kills;
        let mut started = start("run", &place);
        let killer = (!last).then(|| {
            // Some die while they start, some early, some in the thick of it.
            let bound = [20_000, 80_000, 300_000][life % 3];
            let delay = Duration::from_micros(rng.random_range(0..bound));
            let mut child = started.child;
            std::thread::spawn(move || {
                std::thread::sleep(delay);
                child.kill().unwrap();
                child.wait().unwrap();
            })
        });
        let mut done = false;
        let mut now = BTreeSet::new();
        let mut line = String::new();
        // What the child wrote before it died is still in the pipe.
        while started.lines.read_line(&mut line).unwrap_or(0) > 0 {
            if let Some((_, call)) = line.trim_end().split_once("CALL ") {
                assert!(!acknowledged.contains(call), "paid twice: {call}");
            } else if let Some(ack) = line.strip_suffix('\n').and_then(|line| line.split_once("ACK ")) {
                now.insert(ack.1.to_owned());
            } else if line.contains("ERROR") {
                panic!("{line}");
            }
            done |= line.starts_with("DONE");
            line.clear();
        }
        if let Some(killer) = killer {
            killer.join().unwrap();
        }
        acknowledged.extend(now);
        interrupted += usize::from(!done);
        match RunDirectory::open(&place, Redactor::default()) {
            Ok(directory) => {
                block_on(async {
                    for text in &acknowledged {
                        let kept = directory.journal().get(&key(text)).await.unwrap();
                        assert_eq!(kept, Some(answer(&request(text))), "{text}");
                    }
                });
                let events = fs::read_to_string(directory.events().path()).unwrap();
                assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
                assert!(events.is_empty() || events.ends_with('\n'));
            }
            Err(StoreError::NotARun { .. }) => assert!(acknowledged.is_empty()),
            Err(error) => panic!("{error}"),
        }
        if last || acknowledged.len() == REQUESTS {
            break;
        }
    }
    assert_eq!(acknowledged.len(), REQUESTS);
    println!("{interrupted} lives were cut short");
    assert!(interrupted > 2, "only {interrupted} lives were cut short");
}

#[test]
fn a_file_that_was_being_replaced_is_the_old_one_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outcome.json");
    fs::write(&path, vec![b'0'; 300_000]).unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for _ in 0..12 {
        let started = start("replace", folder.path());
        std::thread::sleep(Duration::from_micros(rng.random_range(5_000..60_000)));
        started.kill();
        let content = fs::read(&path).unwrap();
        assert_eq!(content, vec![content[0]; 300_000]);
    }
    assert_ne!(fs::read(&path).unwrap()[0], b'0');
}
