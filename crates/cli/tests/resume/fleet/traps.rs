//! What queues and their clients are known to do wrong, and what people do.

use std::path::Path;
use std::time::Duration;

use super::machines::{Machine, Server, folder, harness, optimize, processes, results, task};
use crate::harness::{command, completed, promptopt, said, wait_until};

/// How many rollouts a worker says that it made.
fn made(worker: &Machine) -> u64 {
    let said = worker.said();
    let made = said.split("made ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    made.unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn workers_come_late_leave_politely_and_take_no_more_than_they_have_slots_for() {
    let Some(server) = Server::start() else { return };
    let harness = harness("agent");
    let task = task(&harness, "copro", 120);
    let alone = folder(&harness, &task);
    assert!(promptopt(alone.path(), &optimize(None)).status.success());
    let asked = harness.by_body();

    harness.reset();
    harness.set_latency(Duration::from_millis(100));
    let folder = folder(&harness, &task);
    let (at, url) = (folder.path(), server.url());
    let coordinator = command(at, &optimize(Some(&url))).spawn().unwrap();
    wait_until("the run", || server.count("run") == 1);
    let mut first = Machine::start(at, &url, 2);
    wait_until("the first requests", || harness.requests() > 12);
    // What the first one had fetched ahead would be all that there is.
    let (mut second, mut third) = (Machine::start(at, &url, 1), Machine::start(at, &url, 1));
    wait_until("the others", || server.count("worker") == 3);
    let before = harness.requests();
    wait_until("more requests", || harness.requests() > before + 30);
    let status = first.leave();
    assert!(status.success(), "{status} {}", first.said());
    assert!(first.said().contains("finishing the rollouts that were begun, and leaving"), "{}", first.said());
    assert!(made(&first) > 0, "{}", first.said());
    let output = coordinator.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("no worker is there: start one with `promptopt worker"),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("fleet: 3 workers, "), "{}", said(&output));
    assert!(!said(&output).contains("handed out again"), "{}", said(&output));
    for worker in [&mut second, &mut third] {
        assert!(worker.leave().success());
    }
    let (second, third) = (made(&second), made(&third));
    assert!(second.max(third) < 3 * second.min(third), "{second} and {third} rollouts");
    assert_eq!(results(at), results(alone.path()));
    assert_eq!(harness.by_body(), asked);
    assert_eq!(processes(at), [""; 0]);
}

#[test]
fn a_worker_that_waited_through_a_restart_of_the_server_works_again() {
    let Some(mut server) = Server::start() else { return };
    let harness = harness("native");
    let folder = folder(&harness, &task(&harness, "copro", 60));
    let (at, url) = (folder.path(), server.url());
    let mut worker = Machine::start(at, &url, 2);
    wait_until("the worker", || server.count("worker") == 1);
    server.wipe().unwrap();
    server.begin().unwrap();
    // Its consumer is gone, and with it what it had asked for.
    let output = promptopt(at, &optimize(Some(&url)));
    assert!(output.status.success(), "{}", said(&output));
    assert!(worker.leave().success());
    assert!(made(&worker) > 20);
    // What its client says of it is for those who know the client.
    let said = worker.said();
    for event in ["is lost; it is tried again until it is back", "is back"] {
        assert!(said.contains(&format!("the connection to {url} {event}")), "{said}");
    }
    assert!(!said.contains("async_nats"), "{said}");
}

#[test]
fn an_interrupted_run_keeps_what_was_asked_and_frees_its_workers() {
    let Some(server) = Server::start() else { return };
    let harness = harness("native");
    let task = task(&harness, "copro", 120);
    let alone = folder(&harness, &task);
    assert!(promptopt(alone.path(), &optimize(None)).status.success());
    let asked = harness.by_body();

    harness.reset();
    harness.set_latency(Duration::from_millis(400));
    let folder = folder(&harness, &task);
    let (at, url) = (folder.path(), server.url());
    let mut worker = Machine::start(at, &url, 4);
    let coordinator = command(at, &optimize(Some(&url))).spawn().unwrap();
    wait_until("requests", || harness.requests() > 20);
    std::process::Command::new("kill").args(["-INT", &coordinator.id().to_string()]).status().unwrap();
    let output = coordinator.wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", said(&output));
    assert_eq!(completed(at), harness.requests(), "{}", said(&output));
    wait_until("free slots", || server.status()["members"][0]["busy"] == 0);
    assert_eq!(server.status()["queued"], 0);

    harness.set_latency(Duration::from_millis(15));
    let output = promptopt(at, &["resume", "route.run", "--fleet", &url]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(worker.leave().success());
    assert_eq!((results(at), harness.by_body()), (results(alone.path()), asked));

    // A measurement leaves nothing either.
    harness.set_latency(Duration::from_millis(400));
    harness.reset();
    let eval = command(at, &["eval", "task.toml", "--fleet", &url]).spawn().unwrap();
    let mut worker = Machine::start(at, &url, 2);
    wait_until("requests", || harness.requests() > 1);
    std::process::Command::new("kill").args(["-INT", &eval.id().to_string()]).status().unwrap();
    eval.wait_with_output().unwrap();
    assert_eq!(server.status()["queued"], 0);
    assert!(worker.leave().success());
}

#[test]
fn what_a_run_left_that_was_killed_holds_nobody_up() {
    let Some(server) = Server::start() else { return };
    let harness = harness("native");
    let folder = folder(&harness, &task(&harness, "copro", 60));
    let (at, url) = (folder.path(), server.url());
    let mut coordinator = command(at, &optimize(Some(&url))).spawn().unwrap();
    wait_until("rollouts in the queue", || server.status()["queued"].as_u64() > Some(10));
    crate::harness::kill(&mut coordinator);
    assert!(server.status()["queued"].as_u64() > Some(10));
    let mut worker = Machine::start(at, &url, 1);
    let output = promptopt(at, &["resume", "route.run", "--fleet", &url]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(worker.leave().success());
    assert_eq!(server.status()["queued"], 0);
}

#[test]
fn a_rollout_that_kills_its_workers_is_a_failure_and_others_go_on() {
    let Some(server) = Server::start() else { return };
    let harness = harness("agent");
    let task = harness.task("", "train = 4\nselection = 4\ntest = 2\n[fleet]\nlease = 1\n");
    let task = task.replace("[\"sh\", \"drawers.sh\", \"open\"]", "[\"sh\", \"-c\", \"kill -9 $PPID\"]");
    let folder = folder(&harness, &task);
    let (at, url) = (folder.path(), server.url());
    let eval = command(at, &["eval", "task.toml", "--fleet", &url]).spawn().unwrap();
    let mut deaths = 0;
    let mut worker = Machine::start(at, &url, 1);
    let is_over = || !Path::new(&format!("/proc/{}/fd/1", eval.id())).exists();
    wait_until("the end of the measurement", || {
        if worker.child.try_wait().unwrap().is_some() {
            deaths += 1;
            worker = Machine::start(at, &url, 1);
        }
        is_over()
    });
    let output = eval.wait_with_output().unwrap();
    assert!(said(&output).contains("it was given to 4 workers"), "{}", said(&output));
    assert_eq!(deaths, 8, "{}", said(&output));
    assert_eq!(server.status()["queued"], 0);
}

#[test]
fn a_text_that_no_request_held_ends_the_run_with_workers_as_well() {
    let Some(server) = Server::start() else { return };
    let harness = harness("serve");
    let task = task(&harness, "copro", 120).replace("Say the department of a ticket.", "Never say no.");
    let folder = folder(&harness, &task);
    let (at, url) = (folder.path(), server.url());
    let mut worker = Machine::start(at, &url, 4);
    let output = promptopt(at, &optimize(Some(&url)));
    assert!(!output.status.success());
    assert!(said(&output).contains("the text of `tone`"), "{}", said(&output));
    assert!(worker.leave().success());
}

#[test]
fn one_that_differs_is_told_what_differs() {
    let Some(server) = Server::start() else { return };
    let harness = harness("serve");
    let good = task(&harness, "copro", 60);
    let folder = folder(&harness, &good);
    let (at, url) = (folder.path(), server.url());
    let mut coordinator = command(at, &optimize(Some(&url))).spawn().unwrap();
    wait_until("the run", || server.count("run") == 1);
    let refused = |from: &str, to: &str, words: &[&str]| {
        assert!(good.contains(from), "{from}");
        std::fs::write(at.join("other.toml"), good.replace(from, to)).unwrap();
        let output = promptopt(at, &["worker", "other.toml", "--fleet", &url]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        for word in words {
            assert!(said(&output).contains(word), "`{word}` is not in {}", said(&output));
        }
    };
    let advice = "give both the same task file, files and version of promptopt";
    refused("Say the department", "Tell the department", &["another program", advice]);
    refused("[data]", "[metric]\nkind = \"exact\"\n[data]", &["another metric", advice]);
    refused("name = \"m\"", "name = \"n\"", &["another model", advice]);
    refused("text = \"Say the department of a ticket.\"", "file = \"away.txt\"", &["away.txt"]);
    // The files that a command names are compared as well.
    std::fs::write(at.join("app.py"), "# another one").unwrap();
    refused("[data]", "[data]", &["another file `app.py`", advice]);
    std::fs::remove_file(at.join("app.py")).unwrap();
    refused("[data]", "[data]", &["no file `app.py` at the worker", advice]);
    crate::harness::kill(&mut coordinator);
    assert_eq!(harness.requests(), 0);
}

const LIMITS: &str = "check the limits of the account";

#[test]
fn servers_that_cannot_be_used_are_named_and_nothing_is_asked() {
    let harness = harness("native");
    let folder = folder(&harness, &task(&harness, "copro", 60));
    let at = folder.path();
    let refused = |url: &str, words: &[&str]| {
        let coordinator = &["optimize", "task.toml", "--run", "never.run"][..];
        // A worker that cannot make the queue waits for a coordinator that can.
        let worker = (!words.contains(&LIMITS)).then_some(&["worker", "task.toml"][..]);
        for arguments in worker.into_iter().chain([coordinator]) {
            let output = promptopt(at, &[arguments, &["--fleet", url]].concat());
            assert_eq!(output.status.code(), Some(3), "{url}: {}", said(&output));
            for word in words {
                assert!(said(&output).contains(word), "`{word}` is not in {}", said(&output));
            }
            assert!(!said(&output).contains("canary"), "{}", said(&output));
        }
        assert!(!at.join("never.run").exists());
        assert_eq!(harness.requests(), 0);
    };
    refused("nats://me:canary@127.0.0.1:9", &["nats://127.0.0.1:9 cannot be used", "nats-server -js"]);
    let Some(plain) = Server::with("127.0.0.1", &[]) else { return };
    refused(&plain.url(), &["JetStream gave no answer", "nats-server -js"]);
    let guarded = Server::with("127.0.0.1", &["-js", "--auth", "secret"]).unwrap();
    refused(&guarded.url(), &["it refuses the credentials"]);
    let with_token = guarded.url().replace("nats://", "nats://secret@");
    assert!(promptopt(at, &["fleet", "status", "--fleet", &with_token]).status.success());
    let settings = at.join("limits.conf");
    let account = "jetstream {}\naccounts { A { jetstream { max_streams: 1, max_mem: 1M, max_file: 0 }, users [ { user: a, password: b } ] } }\n\
                   no_auth_user: a\n";
    std::fs::write(&settings, account).unwrap();
    let limited = Server::with("127.0.0.1", &["-c", settings.to_str().unwrap()]).unwrap();
    let other = "[fleet]\nlease = 1\nprefix = \"other\"";
    let text = std::fs::read_to_string(at.join("task.toml")).unwrap();
    std::fs::write(at.join("other.toml"), text.replace("[fleet]\nlease = 1", other)).unwrap();
    let status = promptopt(at, &["fleet", "status", "other.toml", "--fleet", &limited.url()]);
    assert!(status.status.success(), "{}", said(&status));
    refused(&limited.url(), &["the store of large messages cannot be made: bucket", LIMITS]);
}

#[test]
fn a_queue_that_has_no_room_says_so_and_the_run_goes_on_as_there_is() {
    let harness = harness("native");
    let task = task(&harness, "copro", 40);
    let alone = folder(&harness, &task);
    assert!(promptopt(alone.path(), &optimize(None)).status.success());
    let folder = folder(&harness, &task);
    let at = folder.path();
    let settings = at.join("limits.conf");
    let account = "jetstream {}\naccounts { A { jetstream { max_mem: 2K, max_file: 0 }, users [ { user: a, password: b } ] } }\n\
                   no_auth_user: a\n";
    std::fs::write(&settings, account).unwrap();
    let Some(server) = Server::with("127.0.0.1", &["-c", settings.to_str().unwrap()]) else { return };
    let url = server.url();
    let mut worker = Machine::start(at, &url, 4);
    let output = promptopt(at, &optimize(Some(&url)));
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("the queue takes no rollout: "), "{said}");
    assert!(said.contains("check the limits of the account"), "{said}");
    assert!(worker.leave().success());
    assert_eq!(results(at), results(alone.path()));
}
