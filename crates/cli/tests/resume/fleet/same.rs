//! Outcomes of a fleet are those of one process.

use super::machines::{Machine, PROGRAMS, Server, folder, harness, optimize, processes, results, task};
use crate::OPTIMIZERS;
use crate::harness::{promptopt, said};

const CALLS: u64 = 150;

/// Runs a program alone and with so many workers.
fn check(server: &Server, program: &str, optimizer: &str, workers: &[usize]) {
    check_under(server, program, optimizer, workers, &format!("max_calls = {CALLS}"), |spent| {
        assert!((1..=CALLS).contains(&spent("calls")), "{program} {optimizer}");
    });
}

/// The same under any cap; what is spent in all is then looked at.
fn check_under(
    server: &Server,
    program: &str,
    optimizer: &str,
    workers: &[usize],
    cap: &str,
    look: impl Fn(&dyn Fn(&str) -> u64),
) {
    let harness = harness(program);
    let task = task(&harness, optimizer, CALLS).replace(&format!("max_calls = {CALLS}"), cap);
    let run = |workers: usize| {
        harness.reset();
        let folder = folder(&harness, &task);
        let url = server.url();
        let mut machines: Vec<Machine> =
            (0..workers).map(|_| Machine::start(folder.path(), &url, 2)).collect();
        let output = promptopt(folder.path(), &optimize((workers > 0).then_some(url.as_str())));
        let case = format!("{program} {optimizer} {workers}");
        assert!(output.status.success(), "{case}: {}", said(&output));
        for machine in &mut machines {
            assert!(machine.leave().success(), "{case}: {}", machine.said());
        }
        if workers > 0 {
            let made = |machine: &Machine| !machine.said().contains("made 0 rollouts");
            assert!(machines.iter().any(made), "{case}: nobody did anything");
            assert_eq!(server.status()["queued"], 0, "{case}");
            assert_eq!(processes(folder.path()), [""; 0], "{case}");
        }
        (results(folder.path()), harness.by_body())
    };
    let alone = run(0);
    let spending = &alone.0[2]["outcome"]["spending"];
    look(&|what| ["task", "prompt"].iter().filter_map(|role| spending[role][what].as_u64()).sum());
    for &workers in workers {
        let together = run(workers);
        assert!(alone.1 == together.1, "{program} {optimizer} {workers}: other requests");
        assert_eq!(alone.0, together.0, "{program} {optimizer} {workers}");
    }
}

/// Each optimizer, each kind of program and each number of workers, if not all of their combinations.
#[test]
fn outcomes_with_workers_are_those_of_one_process() {
    let Some(server) = Server::start() else { return };
    let cases = [
        ("native", "miprov2", 8),
        ("chain", "copro", 3),
        ("agent", "gepa", 3),
        ("serve", "gepa", 1),
        ("serve", "miprov2", 3),
    ];
    for (program, optimizer, workers) in cases {
        check(&server, program, optimizer, &[workers]);
    }
}

#[test]
fn caps_of_tokens_and_of_money_hold_with_workers() {
    let Some(server) = Server::start() else { return };
    check_under(&server, "chain", "miprov2", &[2], "max_tokens = 20000", |spent| {
        assert!((1..=20_000).contains(&(spent("prompt_tokens") + spent("completion_tokens"))));
    });
    let prices = "max_cost = 0.02\n[prices]\n\"m\" = { prompt = 1.0, completion = 2.0 }";
    check_under(&server, "native", "gepa", &[2], prices, |spent| {
        let cost = spent("prompt_tokens") + 2 * spent("completion_tokens");
        assert!((1..=20_000).contains(&cost), "{cost} millionths of a dollar");
    });
}

#[test]
#[ignore = "takes minutes; `cargo xtask crash --fleet` runs it"]
fn all_outcomes_with_workers_are_those_of_one_process() {
    let Some(server) = Server::start() else { return };
    for program in PROGRAMS {
        for optimizer in OPTIMIZERS {
            check(&server, program, optimizer, &[1, 3, 8]);
        }
    }
}
