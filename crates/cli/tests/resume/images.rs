//! A task over images keeps what every task is promised.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use promptopt_testkit::{LookingLm, LoopbackServer};

use crate::OPTIMIZERS;
use crate::crash::crash;
use crate::harness::{Harness, Reference, check_books, optimizer, promptopt, said};

#[test]
fn a_killed_run_over_images_pays_nothing_twice() {
    let harness = Harness::of_colours();
    for kind in OPTIMIZERS {
        let figures = crash(&harness, &harness.task("", &optimizer(kind)), 2, 3);
        assert_eq!((figures.repeated, figures.different), (0, 0), "{kind}: {figures:?}");
    }
}

#[test]
fn images_give_the_same_at_any_concurrency() {
    let harness = Harness::of_colours();
    for kind in OPTIMIZERS {
        let run = |concurrency: &str| {
            let options = optimizer(kind).replace("concurrency = 8", concurrency);
            let reference = Reference::run(&harness, &harness.task("", &options));
            (reference.by_body, reference.results)
        };
        let (one, many) = (run("concurrency = 1"), run("concurrency = 32"));
        assert!(one.0.len() > 50, "{kind}: {}", one.0.len());
        assert_eq!(one, many, "{kind}");
    }
}

#[test]
fn the_books_over_images_are_those_of_the_server_and_nothing_prints_their_bytes() {
    let harness = Harness::of_colours();
    let caps = [["--max-calls", "70"], ["--max-tokens", "60000"], ["--max-cost", "0.08"]];
    let text = check_books(&harness, "miprov2", &caps) + &check_books(&harness, "gepa", &caps);
    assert!(!text.contains(";base64,"), "{text}");
    let folder = harness.folder(&harness.task("", &optimizer("miprov2")));
    for arguments in [&["show", "task.toml"][..], &["show", "task.toml", "--json"]] {
        let shown = said(&promptopt(folder.path(), arguments));
        assert!(shown.contains("[image]") && !shown.contains(";base64,"), "{shown}");
    }
}

#[test]
fn a_path_that_leads_out_is_refused_before_anything_is_paid() {
    let harness = Harness::of_colours();
    let folder = harness.folder(&harness.task("", &optimizer("miprov2")));
    let outside = Path::new("../secret.png");
    std::fs::write(
        folder.path().join("tickets.jsonl"),
        format!("{{\"picture\": {outside:?}, \"colour\": \"red\"}}\n"),
    )
    .unwrap();
    let output = promptopt(folder.path(), &["optimize", "task.toml"]);
    assert!(
        said(&output)
            .contains("row 1 (line 1): the field `picture`: `../secret.png` leads out of the folder"),
        "{}",
        said(&output)
    );
    assert_eq!(harness.requests(), 0);
}

#[test]
fn the_example_over_images_runs_without_a_key() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let model = Arc::new(LookingLm::new(["red", "green", "blue"], 1));
    let server = runtime.block_on(LoopbackServer::start(model, Duration::ZERO, None)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let task = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/colours.toml");
    let model = format!("looking@{}", server.base_url());
    let output = promptopt(folder.path(), &["optimize", task.to_str().unwrap(), "--lm", &model]);
    let text = said(&output);
    assert!(output.status.success() && !text.contains("I see no image"), "{text}");
    let page = std::fs::read_to_string(folder.path().join("name_colour.optimized.html")).unwrap();
    assert!(page.contains("<img src=\"data:image&#x2f;png;base64,"), "small images are shown");
    assert!(page.contains("img-src data:"), "and allowed");
}
