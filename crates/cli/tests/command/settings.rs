//! What a task file says of a model reaches its server, and no other model.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{TASK, answering, ends, folder, promptopt};

/// A server that keeps the bodies of all requests.
fn keeping() -> (String, Arc<Mutex<Vec<Value>>>) {
    let bodies = Arc::<Mutex<Vec<Value>>>::default();
    let kept = Arc::clone(&bodies);
    let url = answering(move |request| {
        let (_, body) = request.split_once("\r\n\r\n").unwrap_or_default();
        kept.lock().unwrap().extend(serde_json::from_str::<Value>(body));
        let text = "[[ ## department ## ]]\\nbilling\\n\\n[[ ## completed ## ]]";
        let reply = format!(
            "{{\"choices\": [{{\"message\": {{\"content\": \"{text}\"}}}}], \"usage\": {{\"prompt_tokens\": 9, \"completion_tokens\": 9}}}}"
        );
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reply}", reply.len())
    });
    (url, bodies)
}

#[test]
fn effort_and_verbosity_reach_the_model_they_are_said_of() {
    let (url, bodies) = keeping();
    let task = TASK.replace(
        "name = \"sim\"",
        &format!(
            "name = \"m\"\nbase_url = \"{url}\"\nreasoning_effort = \"low\"\nverbosity = \"high\"\n\
             [prompt_model]\nname = \"w\"\nbase_url = \"{url}\"\nreasoning_effort = \"minimal\""
        ),
    );
    let folder = folder(&task);
    let output = promptopt(folder.path(), &["optimize", "task.toml", "--max-calls", "60"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sent = |model: &str| -> Vec<[Value; 2]> {
        let bodies = bodies.lock().unwrap();
        let of = bodies.iter().filter(|body| body["model"] == model);
        of.map(|body| [body["reasoning_effort"].clone(), body["verbosity"].clone()]).collect()
    };
    let (own, writer) = (sent("m"), sent("w"));
    assert!(own.len() > 10 && own.iter().all(|of| *of == ["low", "high"]), "{own:?}");
    assert!(
        !writer.is_empty()
            && writer.iter().all(|[effort, verbosity]| effort == "minimal" && verbosity.is_null()),
        "{writer:?}"
    );
    // Another model that the command line names does not get what is said of the one in the file.
    let other = promptopt(folder.path(), &["eval", "task.toml", "--lm", &format!("x@{url}")]);
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
    let other = sent("x");
    assert!(!other.is_empty() && other.iter().flatten().all(Value::is_null), "{other:?}");
}

#[test]
fn models_without_effort_and_verbosity_are_not_said_to_have_them() {
    for key in ["reasoning_effort", "verbosity"] {
        for name in ["sim", "local", "local/smollm2-135m"] {
            let folder = folder(&TASK.replace("\"sim\"", &format!("{name:?}\n{key} = \"low\"")));
            let said = format!("`model.{key}` is for models of a server, and `{name}` is none: leave it out");
            ends(folder.path(), &["eval", "task.toml"], 2, &[&said]);
            ends(folder.path(), &["optimize", "task.toml"], 2, &[&said]);
        }
    }
}
