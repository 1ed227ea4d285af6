//! Stop texts of a task file: they are for what the program's predictors write.

use std::sync::Arc;
use std::time::Duration;

use promptopt_core::lm::LmRequest;
use promptopt_testkit::{LoopbackServer, ScriptedLm};

use super::{TASK, folder, prints};

/// The most tokens of a reply of the program; whoever writes instructions has another bound.
const MOST: u32 = 9;

/// What a server is asked in a run with these lines in `[model]` and these at the end of the task file, where `URL` is
/// the server's address: the program's requests, and those for instructions.
fn asked(model: &str, rest: &str) -> [Vec<LmRequest>; 2] {
    let served = Arc::new(ScriptedLm::new(|_| Ok(ScriptedLm::chat_reply([("department", "sales")]))));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(LoopbackServer::start(served.clone(), Duration::ZERO, None)).unwrap();
    let own = format!("name = \"m\"\nbase_url = \"{}\"\nmax_tokens = {MOST}\n{model}", server.base_url());
    let task = TASK.replace("name = \"sim\"", &own) + &rest.replace("URL", &server.base_url());
    let folder = folder(&task);
    prints(folder.path(), &["optimize", "task.toml", "-q", "--no-run", "--max-calls", "150"]);
    let is_of_program = |request: &LmRequest| request.sampling.max_tokens == Some(MOST);
    let (program, writer): (Vec<_>, Vec<_>) = served.requests().into_iter().partition(is_of_program);
    assert!(!program.is_empty() && !writer.is_empty(), "{rest}");
    [program, writer]
}

fn all_stop_at(requests: &[LmRequest], stop: &[&str]) {
    for request in requests {
        assert_eq!(request.sampling.stop, stop, "{:?}", request.messages);
    }
}

#[test]
fn instructions_are_not_cut_at_the_stop_texts_of_the_program() {
    for optimizer in ["miprov2", "copro", "gepa", "simba"] {
        for proposer in ["model", "auto"] {
            let section = format!("[optimizer]\nkind = \"{optimizer}\"\nproposer = \"{proposer}\"\n");
            let [program, writer] = asked("stop = [\"\\n\"]", &section);
            all_stop_at(&program, &["\n"]);
            all_stop_at(&writer, &[]);
        }
    }
}

#[test]
fn a_prompt_model_of_its_own_and_an_empty_list_have_the_stop_texts_they_say() {
    let copro = "[optimizer]\nkind = \"copro\"\nproposer = \"model\"\n";
    let own = format!("[prompt_model]\nname = \"w\"\nbase_url = \"URL\"\nstop = [\"END\"]\n{copro}");
    let [program, writer] = asked("stop = [\"\\n\"]", &own);
    all_stop_at(&program, &["\n"]);
    all_stop_at(&writer, &["END"]);
    let [program, writer] = asked("stop = []", copro);
    all_stop_at(&program, &[]);
    all_stop_at(&writer, &[]);
}
