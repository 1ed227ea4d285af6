//! Models that workers have themselves.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_testkit::{ScriptedLm, requested_fields};
use serde_json::Value;

use super::machines::{AT_ONCE, Machine, Server, folder, optimize, results, task};
use crate::harness::{Behaviour, Harness, command, completed, lines, promptopt, rows, said, wait_until};
use crate::{OPTIMIZERS, harness};

/// The model that workers have, behind a key that the coordinator has not; whoever writes is another server.
fn own(key: &str) -> Harness {
    Harness::start(Behaviour { key: Some(key.to_owned()), ..Behaviour::default() })
}

fn worker(at: &std::path::Path, url: &str) -> Machine {
    let mut command = command(at, &[]);
    command.env("OWN_KEY", "workers-key");
    Machine::begin(command, at, url, 2)
}

#[test]
fn workers_call_the_model_that_they_have() {
    let Some(server) = Server::start() else { return };
    let (own, writer) = (own("workers-key"), Harness::start(Behaviour::default()));
    let url = server.url();
    // SIMBA makes rollouts on the model with other temperatures, which are the workers' as well.
    for optimizer in OPTIMIZERS.into_iter().chain(["simba"]) {
        let task = task(&own, optimizer, 120).replace(
            "[data]",
            &format!(
                "api_key_env = \"OWN_KEY\"\non_workers = true\n[prompt_model]\nname = \"m\"\nbase_url = \"{}\"\n[data]",
                writer.base_url()
            ),
        );
        let run = |arguments: &[&str], key: &str, workers: usize, dies: bool| {
            own.reset();
            let folder = folder(&own, &task);
            let at = folder.path();
            let mut machines: Vec<Machine> = (0..workers).map(|_| worker(at, &url)).collect();
            let child = command(at, arguments).env("OWN_KEY", key).spawn().unwrap();
            if dies {
                // In the middle of calls, which are made again.
                wait_until("calls", || own.requests() > 20);
                harness::kill(&mut machines[0].child);
            }
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{optimizer}: {}", said(&output));
            for machine in &mut machines[usize::from(dies)..] {
                assert!(machine.leave().success(), "{optimizer}: {}", machine.said());
            }
            let kept = completed(at);
            (results(at), own.requests(), kept)
        };
        let alone = run(&optimize(None), "workers-key", 0, false);
        // With another key the coordinator would get no reply.
        let together = run(&optimize(Some(&url)), "none", 2, false);
        assert_eq!(together, alone, "{optimizer}");
        own.set_latency(std::time::Duration::from_millis(60));
        let (outcome, requests, kept) = run(&optimize(Some(&url)), "none", 2, true);
        own.set_latency(std::time::Duration::from_millis(15));
        assert_eq!((outcome, kept), (alone.0, alone.2), "{optimizer}");
        assert!((alone.1..=alone.1 + AT_ONCE).contains(&requests), "{optimizer}: {requests} and {}", alone.1);
    }
}

/// A worker sees several runs, and each of them asks its judge anew.
#[test]
fn a_judge_that_workers_have_is_asked_in_each_run() {
    let Some(server) = Server::start() else { return };
    let reply = |request: LmRequest| async move {
        let said: Vec<(String, &str)> = requested_fields(&request)
            .into_iter()
            .map(|field| match field.as_str() {
                "score" => (field, "1"),
                _ => (field, "billing"),
            })
            .collect();
        let text = ScriptedLm::chat_reply(said.iter().map(|(field, text)| (field.as_str(), *text)));
        Ok(LmReply::text(text, Usage::call(11, 3)))
    };
    let examples: Vec<Example> = rows()
        .into_iter()
        .map(|(ticket, department)| {
            Example::new([("ticket", ticket.as_str()), ("department", department)], ["ticket"])
        })
        .collect();
    let program = "signature = \"ticket -> department: enum[billing, sales]\"";
    let harness =
        Harness::serve(Arc::new(lm_fn("m", reply)), program, lines(&examples), Behaviour::default());
    let task = harness.task(
        "on_workers = true",
        "[metric]\nkind = \"judge\"\nrubric = \"The right department.\"\n[fleet]\nlease = 1\n",
    );
    let folder = folder(&harness, &task);
    let (at, url) = (folder.path(), server.url());
    let eval = |fleet: &[&str]| {
        harness.reset();
        let output = promptopt(at, &[&["eval", "task.toml", "--json"], fleet].concat());
        assert!(output.status.success(), "{}", said(&output));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (said["usage"].clone(), said["judge_calls"].clone(), harness.requests())
    };
    let alone = eval(&[]);
    assert!(alone.1.as_u64().unwrap() > 1);
    let mut worker = Machine::start(at, &url, 2);
    let fleet = ["--fleet", url.as_str()];
    assert_eq!([eval(&fleet), eval(&fleet)], [alone.clone(), alone]);
    assert!(worker.leave().success());
}
